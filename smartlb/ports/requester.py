"""What an exchange needs of the one that it is for."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from smartlb.core.outcome import Outcome
from smartlb.wire.proxy_protocol import Endpoints

if TYPE_CHECKING:
    from smartlb.exchange.exchange import Exchange
    from smartlb.worker.worker import Worker


class Sink(Protocol):
    """Takes a response, piece by piece; asyncio's transports are sinks."""

    def write(self, data: bytes, /) -> None:
        """Take one piece."""

    def writelines(self, pieces: Iterable[bytes | memoryview], /) -> None:
        """Take several."""


class Requester(Protocol):
    """A client's connection, or what stands in for one.

    Attributes:
        worker: whose it is.
        deadline_s: when `Exchange.timed_out` is to be called; monotonic.
        write_paused: whether the response comes faster than it is taken.
    """

    worker: "Worker"
    deadline_s: float
    write_paused: bool

    @property
    def transport(self) -> Sink:
        """Where the response goes."""

    @property
    def address(self) -> str:
        """The client's IP address."""

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header; None where there is none."""

    def adjust_reading(self) -> None:
        """Read from the client only what there is a use for now."""

    def expect_body(self, now_s: float) -> None:
        """More of the request's body has to come in time."""

    def answer(self, outcome: Outcome, message: str, *, keep_alive: bool, body: bool = True) -> None:
        """Answer from the router itself."""

    def carried_by(self, exchange: "Exchange") -> None:
        """Another exchange goes on with the request."""

    def exchange_over(self, keep_alive: bool, now_s: float) -> None:
        """The response has been written whole."""

    def abort_exchange(self, *, at_once: bool) -> None:
        """The response broke off."""
