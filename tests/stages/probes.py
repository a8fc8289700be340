"""Stages for tests: they wait, look at bodies and change them as a test says, and note what they hear."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.stage import BodyFilter, Stage
from smartlb.wire.answers import Answer


class Witness(Stage):
    """Notes how exchanges end.

    Attributes:
        ends: outcome and status of each, in order.
    """

    def __init__(self) -> None:
        self.ends: list[tuple[Outcome, int]] = []

    def done(self, _context: Context, outcome: Outcome, status: int) -> None:
        self.ends.append((outcome, status))


class Gate(Witness):
    """Has every request wait until the test says how it goes on.

    Attributes:
        asked: requests that have begun to wait, in order.
        cancelled: how many were given up while they waited.
        waiting: what they wait for, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Context] = []
        self.cancelled = 0
        self.waiting: list[asyncio.Future[Answer | None]] = []

    def request(self, context: Context) -> Awaitable[Answer | None]:
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return self.wait(context, future)

    async def wait(self, context: Context, future: asyncio.Future[Answer | None]) -> Answer | None:
        """Wait for what the test says."""
        self.asked.append(context)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def open(self, answer: Answer | None = None) -> None:
        """Let the request that has waited longest go on, or answer it."""
        self.waiting.pop(0).set_result(answer)

    def fail(self, error: Exception) -> None:
        """Have the wait end in an error."""
        self.waiting.pop(0).set_exception(error)


class Whole(Witness):
    """Needs whole bodies, and may put others in their place.

    Attributes:
        seen: the bodies that have come.
    """

    def __init__(self, most: int = 100_000, change: Callable[[bytes], bytes] | None = None) -> None:
        super().__init__()
        self.whole_body = most
        self.seen: list[bytes] = []
        self._change = change

    def request(self, context: Context) -> None:
        assert context.body is not None
        self.seen.append(context.body)
        if self._change is not None:
            context.body = self._change(context.body)


class Loud:
    """Makes what passes upper case, and adds a mark at the end."""

    changes = True

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return b"!"


class Late(Loud):
    """Likewise, but gives nothing before the end."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        self._kept += data
        return b""

    def end(self) -> bytes:
        return self._kept.upper() + b"!"


class Tap:
    """Changes nothing.

    Attributes:
        heard: what has passed.
        ends: how often it has ended.
    """

    changes = False

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0

    def feed(self, data: bytes) -> bytes:
        self.heard += data
        return data

    def end(self) -> bytes:
        self.ends += 1
        return b""


class Requests(Witness):
    """Has the bodies of requests pass through filters of one kind."""

    def __init__(self, kind: Callable[[], BodyFilter]) -> None:
        super().__init__()
        self._kind = kind

    def request_body(self, _context: Context) -> BodyFilter | None:
        return self._kind()


class Responses(Witness):
    """Has those of responses."""

    def __init__(self, kind: Callable[[], BodyFilter]) -> None:
        super().__init__()
        self._kind = kind

    def response(self, _context: Context, _head: ResponseHead) -> BodyFilter | None:
        return self._kind()


def errors(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    """What has been logged as an error since the last call, with the exception; the test expects it."""
    found = [
        f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]
    caplog.clear()
    return found
