"""Child processes that never outlive the demo: they end when their standard input does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from subprocess import DEVNULL, PIPE
from typing import IO, Any

_STOP_S = 3.0
_REPORT_S = 20.0


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Child:
    """A child process that reports in lines of JSON on its standard output."""

    def __init__(self, process: asyncio.subprocess.Process, command: Sequence[str]) -> None:
        self._process = process
        self._name = " ".join(command[1:4])

    async def report(self) -> dict[str, Any]:
        """The child's next report.

        Raises:
            DemoError: the child ended, or was silent for too long.
        """
        assert self._process.stdout is not None
        try:
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes at the same time as the line.
            async with asyncio.timeout(_REPORT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise DemoError(f"`{self._name}` was silent for {_REPORT_S:g} s; is the machine overloaded?") from None
        if not line:
            status = await self._process.wait()
            raise DemoError(f"`{self._name}` ended early with status {status}; the log says more")
        report: dict[str, Any] = json.loads(line)
        return report


@asynccontextmanager
async def child(command: Sequence[str], log: IO[Any]) -> AsyncIterator[Child]:
    """Start a process that ends at the end of its standard input, and end it with the block."""
    async with _process(command, stdin=PIPE, stdout=PIPE, stderr=log) as process:
        try:
            yield Child(process, command)
        finally:
            assert process.stdin is not None
            process.stdin.close()


@asynccontextmanager
async def service(command: Sequence[str], log: IO[Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that ends at SIGTERM, and end it with the block."""
    async with _process(command, stdin=DEVNULL, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


@asynccontextmanager
async def _process(command: Sequence[str], **streams: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    # A process group of its own, so that Ctrl-C reaches the demo alone, which then stops the rest in order.
    process = await asyncio.create_subprocess_exec(*command, process_group=0, **streams)
    try:
        yield process
    finally:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
