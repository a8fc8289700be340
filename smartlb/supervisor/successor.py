"""The next process of an upgrade: the same command line, the same sockets, whatever program is installed now.

The descriptors are passed as systemd passes them (sd_listen_fds(3)), from 3 on, with names in LISTEN_FDNAMES. That
needs the new process's id before its program is run, so this module is run first, moves the descriptors to their
places, and becomes the program.
"""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from time import monotonic

READY = "smartlb-ready"
"""Name of a pipe into which the new process writes a line once it serves."""

_FIRST_FD = 3


class NotSucceeded(Exception):
    """The new process does not take over; the message says why."""


class Successor:
    """Starts the next process, and hears whether it is ready.

    Args:
        given: names and descriptors that it inherits.

    Attributes:
        pid: of the process.

    Raises:
        OSError: it cannot be started.
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

    async def serves(self, within_s: float, given_up: Callable[[], bool]) -> None:
        """Wait until it says that it serves, and end it if it does not.

        Args:
            within_s: how long that may take.
            given_up: whether nobody waits for it any more.

        Raises:
            NotSucceeded: it does not serve.
        """
        give_up_s = monotonic() + within_s
        try:
            while not self._ready():
                if (status := self._process.poll()) is not None:
                    raise NotSucceeded(f"the new process ended with exit status {status}; see the log above")
                if given_up() or monotonic() > give_up_s:
                    raise NotSucceeded("the new process was not ready in time; see the log above")
                await asyncio.sleep(0.02)
        except BaseException:
            self._process.kill()  # and its own processes end with it
            self._process.wait()
            raise
        finally:
            os.close(self._reading)

    def _ready(self) -> bool:
        try:
            return bool(os.read(self._reading, 1))
        except BlockingIOError:
            return False


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
