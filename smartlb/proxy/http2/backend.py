"""HTTP/2 with backends: a few connections, shared by all requests of a worker."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    InformationalResponseReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import NoAvailableStreamIDError

from smartlb.config.certificates import HTTP2
from smartlb.core.outcome import Outcome
from smartlb.proxy.backend import BackendConnection
from smartlb.proxy.http2.allowance import Allowance
from smartlb.proxy.http2.connection import Connection
from smartlb.proxy.http2.heads import Headers, Malformed, request_to_http2, response_from_http2
from smartlb.proxy.http2.stream import Stream
from smartlb.proxy.proxy_protocol import Endpoints

if TYPE_CHECKING:
    from smartlb.proxy.pool import Connecting, Pool

_MOST_STREAMS: Final = 100
"""On one connection, where the backend would take more: beyond that its TCP window is what they all wait for."""

_TRUSTED: Final = 100_000.0
"""Control frames and resets each second: backends are not suspected of floods."""

_FAILED: Final[Mapping[bytes, int]] = {b"2": 500, b"4": 504, b"12": 501, b"13": 500, b"14": 503, b"15": 500}
"""gRPC's codes that are a failure of the server, as statuses, by Envoy's `grpcToHttpStatus`
(source/common/grpc/status.cc)."""


class RequestStream(Stream):
    """A stream on which the router asks."""

    def __init__(self, connection: "Http2BackendConnection") -> None:
        super().__init__(connection)
        self.method = b""

    def begin(self, raw: bytes) -> int | None:
        """Send the head of a request."""
        connection = cast(Http2BackendConnection, self._connection)
        self.method, (headers, length) = request_to_http2(raw, connection.scheme)
        try:
            self.number = connection.h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            connection.going_away = True
        if connection.closed or connection.going_away:
            self._over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            return None
        connection.streams[self.number] = self
        self.head_sent(complete=length == 0)
        connection.h2.send_headers(self.number, headers, end_stream=length == 0)
        return length


class Http2BackendConnection(Connection):
    """A connection to a backend.

    Args:
        scheme: ``http`` or ``https``.

    Attributes:
        scheme: the argument.
        going_away: whether it takes no more requests.
        idle_since_s: when the last request ended; monotonic.
    """

    def __init__(self, scheme: bytes) -> None:
        super().__init__(
            client_side=True,
            settings={},
            control_frames=Allowance(_TRUSTED),
            resets=Allowance(_TRUSTED),
        )
        self.scheme = scheme
        self.going_away = False
        self.idle_since_s = monotonic()
        self._used = False

    @property
    def has_room(self) -> bool:
        """Whether it takes one more request."""
        most = min(self.h2.remote_settings.max_concurrent_streams, _MOST_STREAMS)
        return not self.closed and not self.going_away and len(self.streams) < most

    def open(self, pool: "Pool", position: int) -> BackendConnection:
        """What stands for a connection to the backend, for one exchange."""
        stream = RequestStream(self)
        stream.protocol = backend = BackendConnection(pool, position)
        backend.connection_made(stream)
        # On a fresh one the backend cannot have been about to close it.
        backend.reused, self._used = self._used, True
        return backend

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        super().forget(stream)
        self.idle_since_s = monotonic()
        if self.going_away and not self.streams:
            asyncio.get_running_loop().call_soon(self.end, ErrorCodes.NO_ERROR)

    def _on_response(self, event: ResponseReceived | InformationalResponseReceived) -> None:
        stream = cast(RequestStream | None, self.streams.get(event.stream_id))
        if stream is None:
            return
        headers = cast(Headers, event.headers)
        try:
            complete = isinstance(event, ResponseReceived) and event.stream_ended is not None
            head = response_from_http2(headers, stream.method, complete)
        except Malformed as error:
            self.malformed(stream.number, str(error))
            return
        self._grade(stream, headers)
        stream.chunks, stream.missing = head.chunked, head.length
        stream.deliver(head.raw)

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self._grade(stream, cast(Headers, event.headers))
        super()._on_trailers(event)

    def _grade(self, stream: Stream, headers: Headers) -> None:
        """Count a gRPC call that failed as a failure, though its status is 200."""
        code = next((value for name, value in headers if name == b"grpc-status"), b"0")
        exchange = cast(BackendConnection, stream.protocol).exchange
        if code in _FAILED and exchange is not None:
            exchange.failed_as = _FAILED[code]

    def _on_reset(self, event: StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and event.error_code == ErrorCodes.REFUSED_STREAM:
            self._unseen(stream, again=False)
        super()._on_reset(event)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        """It takes no more requests, and has not looked at those after the last that it names."""
        self.going_away = True
        last = cast(int, event.last_stream_id)
        for stream in list(self.streams.values()):
            if stream.number > last:
                # A connection that says so of its first request would do it again.
                self._unseen(stream, again=cast(BackendConnection, stream.protocol).reused)
                stream.lost()
        if not self.streams:
            self.end(ErrorCodes.NO_ERROR)

    def _unseen(self, stream: Stream, *, again: bool) -> None:
        backend = cast(BackendConnection, stream.protocol)
        exchange, backend.exchange = backend.exchange, None
        if exchange is not None:
            exchange.unseen(again=again)

    _HANDLERS: ClassVar = {
        **Connection._HANDLERS,
        ResponseReceived: _on_response,
        InformationalResponseReceived: _on_response,
        TrailersReceived: _on_trailers,
        StreamReset: _on_reset,
        ConnectionTerminated: _on_goaway,
    }


class Http2Backends:
    """The connections of one pool in one worker.

    Args:
        pool: opens connections.
        size: how many backends it has.
        tls: whether they speak TLS.
    """

    def __init__(self, pool: "Pool", size: int, tls: bool) -> None:
        self._pool = pool
        self._scheme = b"https" if tls else b"http"
        self._open: list[list[Http2BackendConnection]] = [[] for _ in range(size)]
        self._waiting: list[deque[Connecting]] = [deque() for _ in range(size)]

    def connection(self, position: int) -> BackendConnection | None:
        """A place on a connection that is open; None where there is none."""
        for connection in self._open[position]:
            if connection.has_room:
                return connection.open(self._pool, position)
        return None

    def connect(self, position: int, exchange: "Connecting") -> None:
        """Have a place on a new connection, which all share that wait for it."""
        waiting = self._waiting[position]
        waiting.append(exchange)
        if len(waiting) == 1:
            self._pool.connect(position, _Arrival(self, position), lambda: Http2BackendConnection(self._scheme))

    def arrived(self, position: int, connection: Http2BackendConnection) -> None:
        """A connection is there."""
        waiting, self._waiting[position] = self._waiting[position], deque()
        tls = connection.transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != HTTP2:
            connection.end(ErrorCodes.NO_ERROR)
            self._pool.complain(position, "it does not offer HTTP/2 (ALPN h2)")
            _fail(waiting, Outcome.CONNECT_FAILED)
            return
        self._open[position] = [each for each in self._open[position] if not each.closed]
        self._open[position].append(connection)
        while waiting and connection.has_room:
            waiting.popleft().connected(connection.open(self._pool, position))
        for exchange in waiting:
            self.connect(position, exchange)

    def failed(self, position: int, outcome: Outcome) -> None:
        """None could be made."""
        waiting, self._waiting[position] = self._waiting[position], deque()
        _fail(waiting, outcome)

    def leave(self, position: int) -> None:
        """Open no more streams to the backend that had a position."""
        for connection in self._open[position]:
            connection.going_away = True
            if not connection.streams:
                connection.end(ErrorCodes.NO_ERROR)
        self._open[position] = []

    def close_idle(self, oldest_s: float, present: Sequence[bool]) -> None:
        """Close connections that have had no request since then, and those to backends that have left."""
        for position, connections in enumerate(self._open):
            if not present[position]:
                self.leave(position)
                continue
            for connection in connections:
                if not connection.streams and (connection.idle_since_s < oldest_s or connection.going_away):
                    connection.end(ErrorCodes.NO_ERROR)
            if any(connection.closed for connection in connections):
                self._open[position] = [each for each in connections if not each.closed]


class _Arrival:
    """Waits for a connection on behalf of all requests that want a place on it."""

    endpoints: Endpoints | None = None

    def __init__(self, backends: Http2Backends, position: int) -> None:
        self._backends = backends
        self._position = position

    def connected(self, connection: Any) -> bool:
        self._backends.arrived(self._position, connection)
        return True

    def connect_failed(self, outcome: Outcome) -> None:
        self._backends.failed(self._position, outcome)


def _fail(waiting: "deque[Connecting]", outcome: Outcome) -> None:
    for exchange in waiting:
        exchange.connect_failed(outcome)
