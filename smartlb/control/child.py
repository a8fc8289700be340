"""A process that the supervisor keeps running."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from time import monotonic

from smartlb.process.handover import Handover

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_SETTLED_S = 10.0
"""A process that lived this long is restarted at once again; one that dies sooner waits twice as long each time."""

# Numerical libraries would start a thread per core in every process, for matrices of three rows.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Child:
    """Starts a module as a process, and starts it again when it ends unasked.

    Args:
        name: for logs.
        module: run by ``python -m``.
        handover: what it is given.
        on_exit: called after each unasked end, before the restart.

    Attributes:
        pid: of the running process, or None.
        restarts: unasked ends so far.
        since_s: when the present process was started; monotonic.
        last_exit: how the last process ended, in words; empty before.
    """

    def __init__(self, name: str, module: str, handover: Handover, on_exit: Callable[[], None]) -> None:
        self.name = name
        self.pid: int | None = None
        self.restarts = 0
        self.since_s = 0.0
        self.last_exit = ""
        self._module = module
        self._handover = handover
        self._on_exit = on_exit
        self._stopping = asyncio.Event()
        self._given_up: int | None = None

    async def run(self) -> None:
        """Keep the process running until `stop` is called.

        Raises:
            Exception: it cannot be started, not even once; an `OSError` where the system refuses.
        """
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                process = await self._start()
            except Exception as error:
                if not self.restarts:
                    raise
                trouble = f"cannot be started ({error})"
            else:
                self.pid, self.since_s = process.pid, monotonic()
                if self._stopping.is_set():
                    process.terminate()
                code = await process.wait()
                self.pid = None
                self.last_exit = _in_words(code)
                if self._stopping.is_set():
                    return
                self.restarts += 1
                self._on_exit()
                pause_s = _FIRST_PAUSE_S if monotonic() - self.since_s > _SETTLED_S else pause_s
                trouble = f"ended ({self.last_exit})"
            log.error("%s %s; it is started again in %.2f s", self.name, trouble, pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            self._handover.to_argument(),
            pass_fds=self._handover.fds,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT},
        )

    def stop(self) -> None:
        """Ask the process to end, and do not start it again."""
        self._stopping.set()
        self.signal(signal.SIGTERM)

    def retire(self) -> None:
        """Tell the process that another has taken its place, and do not start it again."""
        self._stopping.set()
        self.signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End the process at once; unless `stop` was called it is started again."""
        self.signal(signal.SIGKILL)

    def give_up(self, silent_s: float) -> None:
        """End a process that has shown no life for `silent_s`; to be called until it is gone, and said once."""
        if self._given_up != self.pid:
            self._given_up = self.pid
            log.error("%s has shown no life for %.1f s and is killed", self.name, silent_s)
        self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process runs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
