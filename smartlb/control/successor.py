"""The next process of an upgrade: the same command line, the same sockets, whatever program is installed now.

The descriptors are passed as systemd passes them (sd_listen_fds(3)), from 3 on, with names in LISTEN_FDNAMES. That
needs the new process's id before its program is run, so this module is run first, moves the descriptors to their
places, and becomes the program.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence

_FIRST_FD = 3

READY = "smartlb-ready"
"""Name of a pipe into which the new process writes a line once it serves."""

MEMORY = "smartlb-memory"
"""Name of a file with what the learner knows."""

DRAINED = "smartlb-drained"
"""Name of a file with the backends that are drained: a JSON list of pool and name."""

FOUND = "smartlb-found"
"""Name of the descriptor of the backends that discovery has found, as JSON."""

ADMIN = "smartlb-admin-"
"""Prefix of the name of the admin API's socket, before its address."""


class Successor:
    """Starts the next process, and hears whether it is ready.

    Args:
        given: names and descriptors that it inherits.

    Attributes:
        pid: of the process.
    """

    def __init__(self, given: Sequence[tuple[str, int]]) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._reading = reading
        every = [*given, (READY, writing)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(every), *sys.orig_argv],
                pass_fds=[fd for _, fd in every],
                stdin=subprocess.DEVNULL,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pid = self._process.pid

    def ready(self) -> bool:
        """Whether it has said that it serves."""
        try:
            return bool(os.read(self._reading, 1))
        except BlockingIOError:
            return False

    def ended(self) -> int | None:
        """Its exit status, where it has one."""
        return self._process.poll()

    def kill(self) -> None:
        """End it; its own processes end with it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Hear no more of it."""
        os.close(self._reading)


def say_ready(fd: int) -> None:
    """Tell the process before that this one serves."""
    with contextlib.suppress(OSError):
        os.write(fd, b"\n")
    os.close(fd)


def main() -> None:
    """Move the descriptors to where the program expects them, and become it."""
    every, argv = json.loads(sys.argv[1]), sys.argv[2:]
    end = _FIRST_FD + len(every)
    # First out of the way, as one may lie where another belongs.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, end) for _, fd in every]
    for place, fd in enumerate(moved, _FIRST_FD):
        os.dup2(fd, place, inheritable=True)
    for _, fd in every:
        if fd >= end:
            os.close(fd)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(every))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in every)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
