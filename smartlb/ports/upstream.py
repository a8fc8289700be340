# cython: annotation_typing=False
"""What an exchange and the connection to a backend see of each other.

An exchange has one attempt or several, each at one backend. The connection that carries an attempt reports to the
attempt's exchange (`ResponseSink`); the exchange acts on the connection (`Link`); and a connection that nobody needs
goes back to where it is kept (`Home`).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from smartlb.core.outcome import Outcome
from smartlb.ports.clock import Clock
from smartlb.wire.http1 import Response
from smartlb.wire.proxy_protocol import Endpoints


class ResponseSink:
    """An exchange, as the connections of its attempts see it.

    Attributes:
        method: of the request; it says whether a response has a body.
        whole: whether the request has been received whole from the client.
        has_body: whether it has a body.
        content_only: whether bodies are to be handed over without the framing of chunks; known once `responds` is over.
    """

    method: bytes
    whole: bool
    has_body: bool
    content_only: bool

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header; None where there is none."""
        return None

    def connected(self, attempt: "Attempt", connection: Any) -> bool:
        """A connection is there; False when it is no longer needed."""
        raise NotImplementedError

    def connect_failed(self, attempt: "Attempt", outcome: Outcome) -> None:
        """None could be made; the log says why."""
        raise NotImplementedError

    def began(self, attempt: "Attempt") -> None:
        """The first byte of an answer is there."""
        raise NotImplementedError

    def interim(self, attempt: "Attempt", head: bytes) -> None:
        """A 1xx response has come."""
        raise NotImplementedError

    def switches(self, attempt: "Attempt", raw: bytes, data: bytes) -> None:
        """A 101 has come, with its head in `raw` and `data` after it.

        Raises:
            MalformedResponse: nobody has asked for it.
        """
        raise NotImplementedError

    def discards(self, attempt: "Attempt", status: int) -> bool:
        """Whether a response with this status is dropped, because another attempt follows; then call `discarded`."""
        raise NotImplementedError

    def discarded(self, attempt: "Attempt", status: int, now_s: float) -> None:
        """The response has been dropped, and the connection is out of use."""
        raise NotImplementedError

    def responds(self, attempt: "Attempt", response: Response) -> None:
        """The head of the final response; `relay` follows at once, be it with nothing."""
        raise NotImplementedError

    def relay(self, attempt: "Attempt", data: bytes, start: int, end: int, received: int) -> None:
        """A piece of the body, ``data[start:end]``, for which `received` bytes came."""
        raise NotImplementedError

    def complete(self, attempt: "Attempt", now_s: float) -> None:
        """The response is over."""
        raise NotImplementedError

    def stale(self, attempt: "Attempt") -> None:
        """A connection that had been idle was closed: the backend may not have seen the request."""
        raise NotImplementedError

    def unseen(self, attempt: "Attempt", again: bool) -> None:
        """The backend says that it has not looked at the request; `again` where another connection to it may help."""
        raise NotImplementedError

    def broken(self, attempt: "Attempt", outcome: Outcome, reason: str) -> None:
        """The exchange with the backend failed."""
        raise NotImplementedError

    def backend_paused(self, attempt: "Attempt") -> None:
        """The backend takes the request more slowly than it comes, or has caught up."""
        raise NotImplementedError


class Attempt:
    """One try at one backend.

    Attributes:
        exchange: whose it is.
        number: 1 for the first.
        position: of the backend in its pool; negative where there is none, and once the attempt is recorded.
        in_flight: requests that the backend had before.
        dispatched_s: when the backend was picked, or the try before it ended; monotonic, like all times here.
        first_byte_s: when the answer began; 0 before.
        quiet_s: how long the backend had nothing to answer before that, because the client was silent.
        connection: to the backend, while there is one.
        connecting: what opens it, while that is under way.
        expected_s: how long the response was expected to take, for `smartlb.upstream.hedging`; 0 where nobody asked.
        timer: sends a hedge.
        failed_as: the status to record when the response's own hides a failure (gRPC errors); 0 for none.
        trailers: lines after the response's body, without their CRLF, where `ResponseSink.content_only`.
        patient: whether it goes on beyond the time of one attempt, as no other may follow it.
    """

    # What `new_attempt` does not set is 0, False or None then, as in every object of C.
    exchange: ResponseSink
    number: int
    position: int
    in_flight: int
    dispatched_s: float
    first_byte_s: float
    quiet_s: float
    connection: "Link | None"
    connecting: asyncio.Task[None] | None
    expected_s: float
    timer: asyncio.TimerHandle | None
    failed_as: int
    trailers: Sequence[bytes]
    patient: bool


def new_attempt(exchange: ResponseSink, number: int, dispatched_s: float) -> Attempt:
    """Make an attempt; a call of the class would make Python objects of the arguments, for every request."""
    attempt = Attempt.__new__(Attempt)
    attempt.exchange = exchange
    attempt.number = number
    attempt.position = -1
    attempt.dispatched_s = dispatched_s
    attempt.trailers = ()
    return attempt


class Link:
    """A connection to a backend, as an exchange sees it.

    Attributes:
        attempt: whose response it reads; None when it is idle.
        transport: set once connected.
        position: of the backend in its pool.
        reused: whether it has been idle before; the backend may close it just when a request is sent.
        write_paused: whether the backend takes the request more slowly than it comes.
        read_paused: whether the response comes faster than it is taken.
        idle_since_s: when it last became idle.
    """

    transport: asyncio.Transport

    def __init__(self, position: int) -> None:
        self.attempt: Attempt | None = None
        self.position = position
        self.reused = False
        self.write_paused = False
        self.read_paused = False
        self.idle_since_s = 0.0

    def pause_reading(self) -> None:
        """Take no more of the response for now."""
        self.read_paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on taking it."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def give_up(self) -> None:
        """Close at once; the exchange hears nothing of it."""
        self.attempt = None
        self.transport.abort()


class Home:
    """Where connections to backends are kept while they are idle."""

    def keep(self, connection: Link, now_s: float) -> None:
        """Keep a connection for the next exchange."""
        raise NotImplementedError

    def forget(self, connection: Link) -> None:
        """An idle connection was closed."""
        raise NotImplementedError


class Opener(Home):
    """Opens connections to backends, and says why it cannot.

    Attributes:
        clock: of the data path.
    """

    clock: Clock

    def connect(self, attempt: Attempt, protocol: Callable[[], Any] | None = None) -> None:
        """Open a connection for an attempt, whose exchange hears of it by `connected` or `connect_failed`.

        Args:
            attempt: at its position.
            protocol: makes the connection's protocol; the usual one where not given.
        """
        raise NotImplementedError

    def complain(self, position: int, reason: str) -> None:
        """Log now and then why there is no connection to a backend; a negative position is none's."""
        raise NotImplementedError
