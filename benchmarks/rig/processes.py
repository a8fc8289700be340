"""Servers as child processes: pinned to a core, ended with the benchmark, measured by what /proc says."""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOP_S = 5.0

LOW_PRIORITY = 15
"""The niceness of what is not to take the processor's time from what is measured."""

_libc = ctypes.CDLL(None, use_errno=True)


class BenchmarkError(Exception):
    """Something that keeps a proxy from being measured; the message says what to do."""


def free_address() -> str:
    """Return a loopback ``HOST:PORT`` that the system had free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    return f"{host}:{port}"


def limit_files() -> int:
    """Raise the limit of open files, of this process and those that it starts, as far as it goes; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def prepare_child(core: int | None) -> Callable[[], None]:
    """Return what a child runs before its program: end when the benchmark ends, and stay on `core`."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if core is not None:
            os.sched_setaffinity(0, {core})

    return prepare


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has used so far.

    Attributes:
        pid: of the process.
        parent: its parent's.
        cpu_s: user and system time of all its threads.
    """

    pid: int
    parent: int
    cpu_s: float


def parse_stat(line: str) -> Usage:
    """Read a line of /proc/PID/stat (proc_pid_stat(5)); the command in it may hold spaces and brackets."""
    pid = int(line.split(" ", 1)[0])
    fields = line[line.rindex(")") + 2 :].split()
    return Usage(pid, parent=int(fields[1]), cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S)


def _all_usage() -> dict[int, Usage]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                usage = parse_stat(Path(entry.path, "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # It ended since the directory was read.
            found[usage.pid] = usage
    return found


def process_tree(root: int) -> dict[int, Usage]:
    """Return the usage of `root` and of its descendants, by pid."""
    every = _all_usage()
    members: dict[int, Usage] = {}
    found = [root] if root in every else []
    while found:
        members.update((pid, every[pid]) for pid in found)
        parents = set(found)
        found = [pid for pid, usage in every.items() if usage.parent in parents and pid not in members]
    return members


def command_line(pid: int) -> str:
    """Return the command line of `pid`, its arguments parted by spaces; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def resident_mb(pid: int) -> float:
    """Return the resident memory of `pid` in megabytes (10^6 bytes)."""
    return _memory_mb(pid, "status", "VmRSS:")


def proportional_mb(pid: int) -> float:
    """Return the same, but of pages that several processes share only this one's part: such figures can be added."""
    return _memory_mb(pid, "smaps_rollup", "Pss:")


def _memory_mb(pid: int, file: str, key: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchmarkError(f"process {pid} has no memory any more: it ended while it was measured")


def pin(pid: int, core: int) -> None:
    """Move every thread of `pid` to `core`."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


class Server:
    """A server in a child process; a context manager that ends it and all its descendants.

    Attributes:
        pid: of the process that was started; its descendants are found from it.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, core: int | None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start `command` in `folder`, its output in the file `output` there.

        Raises:
            BenchmarkError: the program cannot be started.
        """
        self._output = folder / "output"
        try:
            with self._output.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={**os.environ, **(environ or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=prepare_child(core),
                )
        except OSError as error:
            raise BenchmarkError(f"cannot start {command[0]}: {error}") from None
        self.pid = self._process.pid

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The end of what the server has printed."""
        return self._output.read_text(errors="replace").strip()[-800:]

    def stop(self) -> None:
        """Ask the server to end; end by force what is left of its session after five seconds."""
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in _session_members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _session_members(session: int) -> list[int]:
    members = []
    for pid in _all_usage():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == session:
                members.append(pid)
    return members
