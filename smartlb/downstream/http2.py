"""HTTP/2 with clients: each stream is a client of its own, with one request."""

import asyncio
import logging
from typing import Any, ClassVar, Final, cast

from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from smartlb.config.model import Http2
from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.downstream.http1 import ClientConnection
from smartlb.http2.connection import Connection
from smartlb.http2.stream import Stream
from smartlb.limits.allowance import Allowance
from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http2_heads import Malformed, request_from_http2, response_to_http2
from smartlb.wire.proxy_protocol import Endpoints

log = logging.getLogger(__name__)

_EVERY_STREAM: Final = 2**31 - 1
"""As the last stream of a GOAWAY it announces the end without refusing anything (RFC 9113 section 6.8)."""

_LAST_STREAMS_S: Final = 1.0
"""How long after such an announcement streams may still come: the client may have opened them before it heard."""

_NOBODY: Final = TrustedNetworks(())

_PER_FIELD: Final = 32
"""What HPACK counts for each field besides its name and value (RFC 7541 section 4.1)."""


class ResponseStream(Stream):
    """A stream on which the router answers.

    Args:
        connection: whose it is.
        number: of the stream.
        method: of the request.
    """

    def __init__(self, connection: Connection, number: int, method: bytes) -> None:
        super().__init__(connection, number)
        self._method = method

    def begin(self, raw: bytes) -> int | None:
        """Send the head of a response, or an interim one."""
        status, (headers, length) = response_to_http2(raw, self._method)
        final = status >= 200
        self._connection.h2.send_headers(self.number, headers, end_stream=final and length == 0)
        if final:
            self.head_sent(complete=length == 0)
        return length if final else None


class StreamClient(ClientConnection):
    """The client of one request, which speaks HTTP/1.1 over its stream."""

    def __init__(self, front: Front, peer: Peer, claimed: Endpoints | None) -> None:
        super().__init__(front, _NOBODY, claimed=claimed)
        self._peer = peer
        self._began_s = front.services.clock.now() + front.services.header_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the connection has been counted in, and its peer is known."""
        self.transport = cast(asyncio.Transport, transport)
        self.deadline_s = self._began_s


class Http2ClientConnection(Connection):
    """A client's connection.

    Args:
        front: what all connections share.
        settings: of the listener.
        peer: who the client is.
        claimed: what a PROXY header said.
    """

    def __init__(self, front: Front, settings: Http2, peer: Peer, claimed: Endpoints | None) -> None:
        super().__init__(
            client_side=False,
            settings={
                SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_concurrent_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: front.services.header_bytes
                + _PER_FIELD * front.services.header_count,
            },
            control_frames=Allowance(settings.control_frames_per_s),
            resets=Allowance(settings.resets_per_s),
        )
        self._front = front
        self._peer = peer
        self._claimed = claimed
        self._idle_at_s = front.services.clock.now() + front.services.keep_alive_s
        self._last_number = _EVERY_STREAM

    @property
    def _clients(self) -> list[StreamClient]:
        return [cast(StreamClient, cast(Any, stream.protocol)) for stream in self.streams.values()]

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
        return any(client.exchange is not None for client in self._clients)

    @property
    def deadline_s(self) -> float:
        """When `timed_out` has something to do."""
        return min((client.deadline_s for client in self._clients), default=self._idle_at_s)

    def timed_out(self, now_s: float) -> None:
        """End what has taken too long: streams, or the connection when it has none."""
        for client in self._clients:
            if client.deadline_s < now_s:
                client.timed_out(now_s)
        if not self.streams and self._idle_at_s < now_s:
            self.end(ErrorCodes.NO_ERROR)

    def drain(self, idle_s: float) -> None:
        """Open no more streams, finish those that are, and close.

        Args:
            idle_s: 0 where nothing may come any more; otherwise the client is told, and what it has sent before it
                hears of it is served.
        """
        if self.closed:
            return
        if idle_s:
            self._go_away(_EVERY_STREAM)
            self._idle_at_s = min(self._idle_at_s, self._front.services.clock.now() + min(idle_s, _LAST_STREAMS_S))
        else:
            self._last_number = self.h2.highest_inbound_stream_id
            self._go_away(self._last_number)
            self._idle_at_s = 0.0
            self._end_if_idle()

    def _go_away(self, last: int) -> None:
        # Not by way of h2, which sends nothing more after it.
        self.flush()
        self.transport.write(GoAwayFrame(0, last_stream_id=last, error_code=ErrorCodes.NO_ERROR).serialize())

    def _end_if_idle(self) -> None:
        if not self.streams and not self.closed and self._idle_at_s < self._front.services.clock.now():
            self.end(ErrorCodes.NO_ERROR)

    def forget(self, stream: Stream) -> None:
        """A stream is over; after the last one the connection is idle."""
        super().forget(stream)
        if self.streams or self.closed:
            return
        if self._front.services.draining:
            asyncio.get_running_loop().call_soon(self._end_if_idle)
        else:
            self._idle_at_s = self._front.services.clock.now() + self._front.services.keep_alive_s

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away, or we closed."""
        self._front.admission.left(self)
        super().connection_lost(exc)

    def broken(self, reason: str, code: ErrorCodes | None) -> None:
        """The client broke the protocol."""
        self._front.services.record_refused(Outcome.BAD_REQUEST, 0, self._peer.address)
        super().broken(reason, code)

    def calm(self) -> None:
        """The client sends what costs more than it brings."""
        self._front.http2_calmed += 1
        log.warning("HTTP/2 connection of %s closed: it resets streams or sends control frames too often", self.address)
        super().calm()

    def malformed(self, number: int, reason: str) -> None:
        """A request breaks the protocol."""
        self._front.services.record_refused(Outcome.BAD_REQUEST, 0, self._peer.address)
        super().malformed(number, reason)

    def _on_request(self, event: RequestReceived) -> None:
        number = event.stream_id
        if number > self._last_number:
            self.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        complete = event.stream_ended is not None
        try:
            method, head = request_from_http2(cast(Any, event.headers), complete)
        except Malformed as error:
            self.malformed(number, str(error))
            return
        stream = self.streams[number] = ResponseStream(self, number, method)
        stream.chunks, stream.missing = head.chunked, head.length
        client = StreamClient(self._front, self._peer, self._claimed)
        stream.protocol = cast(Any, client)
        client.connection_made(stream)
        stream.received = complete
        stream.deliver(head.raw)

    _HANDLERS: ClassVar = {**Connection._HANDLERS, RequestReceived: _on_request}


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
    transport.set_protocol(connection)
    connection.connection_made(transport)
    if data:
        connection.data_received(data)
