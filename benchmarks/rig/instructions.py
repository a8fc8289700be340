"""How many instructions a process executes in user mode: a measure that does not depend on how busy the machine is.

The processor's own count, by perf, is taken where the system allows it; many virtual machines have none. There valgrind
executes the process instead and counts (callgrind), from the moment that it is told to.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from benchmarks.rig.processes import BenchmarkError

INSTALL = "apt-get install valgrind, or linux-perf on a machine whose processor counts instructions for its guests"
STARTS_S = 120.0
"""How long a server may take to start under valgrind."""

_ANSWERS_S = 60.0
_PERF_BEGINS_S = 0.3
_QUIET_S = 2.0
_COUNTED = re.compile(r"^(\d+),.*instructions", re.MULTILINE)
_SUMMARY = re.compile(r"^summary: (\d+)", re.MULTILINE)


class Counted:
    """A count that is known once its block is over.

    Attributes:
        instructions: of all the processes together.
    """

    instructions = 0


class Counter(Protocol):
    """A way of counting."""

    def wrapped(self, command: Sequence[str]) -> list[str]:
        """The command that starts a program whose instructions are to be counted."""

    def counting(self, pids: Collection[int]) -> contextlib.AbstractContextManager[Counted]:
        """Count those of some processes, started by such a command, within the block."""


class Perf:
    """The processor's own count."""

    def wrapped(self, command: Sequence[str]) -> list[str]:
        """The command itself."""
        return list(command)

    @contextlib.contextmanager
    def counting(self, pids: Collection[int]) -> Iterator[Counted]:
        """Count within the block."""
        counted = Counted()
        command = ["perf", "stat", "-x", ",", "-e", "instructions:u", "-p", ",".join(map(str, pids))]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as perf:
            try:
                time.sleep(_PERF_BEGINS_S)
                yield counted
            finally:
                perf.send_signal(signal.SIGINT)
                _, said = perf.communicate(timeout=_ANSWERS_S)
        found = _COUNTED.search(said)
        if found is None:
            raise BenchmarkError(f"perf counted nothing: {said.strip()[-400:]}")
        counted.instructions = int(found[1])


class Callgrind:
    """Valgrind's count.

    Args:
        folder: for what it writes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wrapped(self, command: Sequence[str]) -> list[str]:
        """The program under valgrind, with all that it starts but the learner, which carries no traffic."""
        return [
            *("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes"),
            "--trace-children-skip-by-arg=*learner_process*",
            f"--callgrind-out-file={self._folder}/%p",
            *command,
        ]

    @contextlib.contextmanager
    def counting(self, pids: Collection[int]) -> Iterator[Counted]:
        """Count within the block."""
        counted = Counted()
        for pid in pids:
            _callgrind("--instr=on", pid)
            _callgrind("--zero", pid)
        yield counted
        for pid in pids:
            for old in self._folder.glob(f"{pid}.*"):
                old.unlink()
            _callgrind("--dump", pid)
            counted.instructions += self._dumped(pid)
            _callgrind("--instr=off", pid)

    def _dumped(self, pid: int) -> int:
        until_s = time.monotonic() + _ANSWERS_S
        while time.monotonic() < until_s:
            for file in self._folder.glob(f"{pid}.*"):
                if found := _SUMMARY.search(file.read_text(errors="replace")):
                    return int(found[1])
            time.sleep(0.05)
        raise BenchmarkError("valgrind did not say what it has counted")


def _callgrind(order: str, pid: int) -> None:
    try:
        done = subprocess.run(
            ["callgrind_control", order, str(pid)], capture_output=True, text=True, timeout=_ANSWERS_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"valgrind did not answer to {order}") from None
    if "OK" not in done.stdout:
        raise BenchmarkError(f"valgrind did not take {order}: {(done.stdout + done.stderr).strip()[-400:]}")


@cache
def _perf_counts() -> bool:
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(
        ["perf", "stat", "-x", ",", "-e", "instructions:u", "true"], capture_output=True, text=True, check=False
    )
    return _COUNTED.search(done.stderr) is not None


@contextlib.contextmanager
def counter() -> Iterator[Counter | None]:
    """What counts on this machine; None where nothing does."""
    if _perf_counts():
        yield Perf()
    elif shutil.which("valgrind") and shutil.which("callgrind_control"):
        with TemporaryDirectory(prefix="smartlb-callgrind-") as folder:
            yield Callgrind(Path(folder))
    else:
        yield None


def per_request(pids: Collection[int], by: Counter, load: Callable[[], int]) -> float:
    """Instructions that a request takes of a server's processes; what they do without requests is subtracted.

    Args:
        pids: of what carries traffic, started by what `by` has wrapped.
        by: counts.
        load: sends some requests, and returns how many; called twice.
    """
    load()  # what is done once only
    with by.counting(pids) as quiet:
        began_s = time.monotonic()
        time.sleep(_QUIET_S)
        quiet_s = time.monotonic() - began_s
    with by.counting(pids) as busy:
        began_s = time.monotonic()
        requests = load()
        busy_s = time.monotonic() - began_s
    return max(0.0, busy.instructions - quiet.instructions * busy_s / quiet_s) / requests


def of_cases(module: str, cases: Sequence[str], calls: int, passes: int = 1) -> dict[str, list[float]]:
    """Instructions per call of some of a module's cases, all in one process of its own.

    Args:
        module: has a function ``cases`` that returns, by name, what does something a given number of times.
        cases: names among them.
        calls: how often each is called while it is counted.
        passes: through all cases; what a case does may depend on what came before it.

    Returns:
        By case, for each pass; nothing where this machine has nothing to count with.
    """
    found: dict[str, list[float]] = {}
    with counter() as by:
        if by is None:
            return found
        command = by.wrapped([sys.executable, "-m", "benchmarks.rig.counted", module])
        with subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                for case in [*cases] * passes:
                    _ask(process, module, case, calls)  # to warm up
                    with by.counting([process.pid]) as count:
                        _ask(process, module, case, calls)
                    found.setdefault(case, []).append(count.instructions / calls)
            finally:
                process.kill()
    return found


def _ask(process: "subprocess.Popen[str]", module: str, case: str, calls: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{case}\t{calls}\n")
        process.stdin.flush()
    except BrokenPipeError:
        answer = ""
    else:
        answer = process.stdout.readline()
    if answer != "done\n":
        raise BenchmarkError(f"{module} ended while {case} was counted")
