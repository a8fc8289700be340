"""mirror: copies of requests for a pool whose responses nobody gets, such as that of a version to be tried out."""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from smartlb.config.traffic import Mirror as Settings
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage


class Copy(NamedTuple):
    """A request to be sent a second time.

    Attributes:
        context: of the original.
        pool: where the copy goes.
        body: all of the original's.
    """

    context: Context
    pool: Any
    body: bytes


class Mirror(Stage):
    """Copies the requests of one route.

    Args:
        settings: of the configuration.
        pool: that gets the copies.
        send: sends one; whatever goes wrong there, the original does not notice.
        random: decides which requests are copied.
    """

    def __init__(self, settings: Settings, pool: Any, send: Callable[[Copy], None], random: Random) -> None:
        self._pool = pool
        self._share = settings.share
        self._random = random.random
        self._most = settings.max_body_bytes
        self._send = send

    def request_body(self, context: Context) -> "Tap | None":
        """Have the body copied too; the copy is sent once it is complete."""
        if context.block.upgrade or (self._share < 1.0 and self._random() >= self._share):
            return None  # a tunnel must not be opened twice
        if context.block.length > self._most:
            return None
        return Tap(self._most, lambda body: self._send(Copy(context, self._pool, body)))


class Tap:
    """Keeps what passes, up to a length.

    Args:
        most: bytes that are kept; where there are more, nothing is.
        complete: called with the whole body at its end.
    """

    changes = False

    def __init__(self, most: int, complete: Callable[[bytes], None]) -> None:
        self._most = most
        self._complete = complete
        self._pieces: list[bytes] | None = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Keep a piece."""
        self._size += len(data)
        if self._size > self._most:
            self._pieces = None
        if self._pieces is not None:
            self._pieces.append(data)
        return data

    def end(self) -> bytes:
        """The body is complete."""
        if self._pieces is not None:
            self._complete(b"".join(self._pieces))
        return b""
