# cython: annotation_typing=False
"""HTTP/2 with clients: each stream is a client of its own, with one request."""

import asyncio
import logging
from math import inf
from typing import Final, cast

from smartlb.config.model import Http2
from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.downstream.http1 import ClientConnection
from smartlb.http2.codes import ErrorCode
from smartlb.http2.connection import Connection
from smartlb.http2.floods import FloodGuard
from smartlb.http2.stream import Stream
from smartlb.limits.allowance import Allowance
from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http1 import Request
from smartlb.wire.http2_heads import Malformed, request_from_http2, response_to_http2
from smartlb.wire.proxy_protocol import Endpoints

log = logging.getLogger(__name__)

_LAST_STREAMS_S: Final = 1.0
"""How long after the announcement that no more streams are taken some may still come: the client may have opened them
before it heard."""

_NOBODY: Final = TrustedNetworks(())

_PER_FIELD: Final = 32
"""What HTTP/2 counts for each field besides its name and value (RFC 9113 section 6.5.2)."""


class ResponseStream(Stream):
    """A stream on which the router answers.

    Attributes:
        method: of the request.
    """

    method: bytes

    def begin(self, raw: bytes) -> None:
        """Send the head of a response, or an interim one."""
        outgoing = response_to_http2(raw, self.method)
        session = self.carrier.session
        if outgoing.status < 200:
            session.answer_meanwhile(self.number, outgoing.headers)
            return
        session.answer(self.number, outgoing.headers, outgoing.length == 0)
        self.head_sent(outgoing.length)


class StreamClient(ClientConnection):
    """The client of one request, which speaks HTTP/1.1 over its stream."""

    def begin(self, stream: ResponseStream, peer: Peer, last: Request | None) -> None:
        """Begin; the connection has been counted in.

        Args:
            stream: its transport.
            peer: who the client is.
            last: the request that came before on the same connection.
        """
        self.transport = cast(asyncio.Transport, stream)
        self._peer = peer
        self._last = last
        self.deadline_s = self._services.clock.now() + self._services.header_s


class Http2ClientConnection(Connection):
    """A client's connection.

    Args:
        front: what all connections share.
        settings: of the listener.
        peer: who the client is.
        claimed: what a PROXY header said.
    """

    def __init__(self, front: Front, settings: Http2, peer: Peer, claimed: Endpoints | None) -> None:
        services = front.services
        super().__init__(
            False,
            settings.max_concurrent_streams,
            services.header_bytes + _PER_FIELD * services.header_count,
            FloodGuard(Allowance(settings.control_frames_per_s), Allowance(settings.resets_per_s), True),
        )
        self._front = front
        self._services = services
        self._limit = front.admission.streams
        self._peer = peer
        self._claimed = claimed
        self._limited = None if peer.trusted else peer.address
        self._idle_at_s = services.clock.now() + services.keep_alive_s
        self._last: Request | None = None

    @property
    def address(self) -> str:
        """The client's IP address."""
        return self._peer.address

    @property
    def trusted(self) -> bool:
        """Whether the client is a trusted proxy."""
        return self._peer.trusted

    @property
    def unfinished(self) -> bool:
        """Whether any request is under way."""
        return any(stream.protocol.exchange is not None for stream in self.streams.values())

    @property
    def deadline_s(self) -> float:
        """When `timed_out` has something to do."""
        return self._earliest_s() if self.streams else self._idle_at_s

    def _earliest_s(self) -> float:
        earliest_s = inf
        for stream in self.streams.values():
            client = stream.protocol
            if client.deadline_s < earliest_s:
                earliest_s = client.deadline_s
        return earliest_s

    def timed_out(self, now_s: float) -> None:
        """End what has taken too long: streams, or the connection when it has none."""
        for stream in list(self.streams.values()):
            if stream.protocol.deadline_s < now_s:
                stream.protocol.timed_out(now_s)
        if not self.streams and self._idle_at_s < now_s:
            self.end(ErrorCode.NO_ERROR)

    def drain(self, idle_s: float) -> None:
        """Open no more streams, finish those that are, and close.

        Args:
            idle_s: 0 where nothing may come any more; otherwise the client is told, and what it has sent before it
                hears of it is served.
        """
        if self.closed:
            return
        if idle_s:
            self.session.announce_end()
            self._idle_at_s = min(self._idle_at_s, self._services.clock.now() + min(idle_s, _LAST_STREAMS_S))
        else:
            self.session.refuse_more()
            self._idle_at_s = 0.0
        self.flush()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self.streams and not self.closed and self._idle_at_s < self._services.clock.now():
            self.end(ErrorCode.NO_ERROR)

    def forget(self, stream: Stream) -> None:
        """A stream is over; after the last one the connection is idle."""
        Connection.forget(self, stream)
        self._limit.left(self._limited)
        if self.streams or self.closed:
            return
        if self._services.draining:
            asyncio.get_running_loop().call_soon(self._end_if_idle)
        else:
            self._idle_at_s = self._services.clock.now() + self._services.keep_alive_s

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away, or we closed."""
        self._front.admission.left(self)
        Connection.connection_lost(self, exc)

    def broken(self, reason: str, goaway: bytes = b"") -> None:
        """The client broke the protocol."""
        self._services.record_refused(Outcome.BAD_REQUEST, 0, self._peer.address)
        Connection.broken(self, reason, goaway)

    def calm(self) -> None:
        """The client sends what costs more than it brings."""
        self._front.http2_calmed += 1
        log.warning("HTTP/2 connection of %s closed: it resets streams or sends control frames too often", self.address)
        Connection.calm(self)

    def breached(self) -> None:
        """A request broke the protocol."""
        self._services.record_refused(Outcome.BAD_REQUEST, 0, self._peer.address)
        Connection.breached(self)

    def request(self, number: int, headers: tuple[tuple[bytes, bytes], ...], complete: bool) -> None:
        """A request has come."""
        if self.closed:
            return
        self._guard.heard()
        try:
            head = request_from_http2(headers, complete)
        except Malformed as error:
            self.malformed(number, str(error))
            return
        if not self._limit.admit(self._limited):
            self.reset(number, ErrorCode.REFUSED_STREAM)
            return
        # Not by calls of the classes, which would make Python objects of the arguments.
        stream = ResponseStream.__new__(ResponseStream)
        stream.belongs_to(self, number)
        stream.method = head.method
        self.streams[number] = stream
        stream.chunks = head.chunked
        stream.missing = head.length
        stream.received = complete
        client = StreamClient.__new__(StreamClient)
        client.prepare(self._front, _NOBODY, self._claimed)
        stream.protocol = client
        client.begin(stream, self._peer, self._last)
        stream.deliver(head.raw)
        self._last = client._last


def begin(
    front: Front,
    settings: Http2,
    client: ClientConnection,
    peer: Peer,
    claimed: Endpoints | None,
    data: bytes,
) -> None:
    """Speak HTTP/2 on a client's connection from now on; `data` is what it has sent."""
    peer.version = b"2.0"
    connection = Http2ClientConnection(front, settings, peer, claimed)
    front.admission.takes_place_of(client, connection)
    transport = client.transport
    transport.set_protocol(cast(asyncio.Protocol, connection))
    connection.connection_made(transport)
    if data:
        connection.data_received(data)
