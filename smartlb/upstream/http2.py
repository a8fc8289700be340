# cython: annotation_typing=False
"""HTTP/2 with backends: a few connections, shared by all requests of a worker."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Final, cast

from smartlb.core.outcome import Outcome
from smartlb.http2.codes import ErrorCode
from smartlb.http2.connection import Connection
from smartlb.http2.floods import FloodGuard
from smartlb.http2.session import StreamGone
from smartlb.http2.stream import Stream
from smartlb.limits.allowance import Allowance
from smartlb.ports.upstream import Attempt, Opener, ResponseSink, new_attempt
from smartlb.tls.protocols import HTTP2
from smartlb.upstream.http1 import BackendConnection
from smartlb.wire.http2_heads import Malformed, request_to_http2, response_from_http2

_MOST_STREAMS: Final = 100
"""On one connection, where the backend would take more: beyond that its TCP window is what they all wait for."""

_LONGEST_HEAD: Final = 65_536
"""Bytes of a response's header section, 32 for each field included."""

_TRUSTED: Final = 100_000.0
"""Control frames and resets each second: backends are not suspected of floods."""

_SILENT_S: Final = 0.5
"""A backend that says nothing for so long while a request waits may be gone."""

_PING: Final = b"smartlb?"

_FAILED: Final[Mapping[bytes, int]] = {b"2": 500, b"4": 504, b"12": 501, b"13": 500, b"14": 503, b"15": 500}
"""gRPC's codes that are a failure of the server, as statuses, by Envoy's `grpcToHttpStatus`
(source/common/grpc/status.cc)."""


class RequestStream(Stream):
    """A stream on which the router asks."""

    def __init__(self, connection: "Http2BackendConnection") -> None:
        self.belongs_to(connection, 0)
        self._connection = connection
        self._method = b""
        self._began_s = inf

    def begin(self, raw: bytes) -> None:
        """Send the head of a request."""
        connection = self._connection
        outgoing = request_to_http2(raw, connection.scheme)
        if connection.closed or connection.going_away:
            self._refused()
            return
        try:
            self.number = connection.session.ask(outgoing.headers, outgoing.length == 0)
        except StreamGone:
            connection.going_away = True
            self._refused()
            return
        connection.streams[self.number] = self
        self._method = outgoing.method
        self._began_s = monotonic()
        self.head_sent(outgoing.length)

    def _refused(self) -> None:
        """The connection has ended since the stream was promised."""
        self._over = True
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    @property
    def method(self) -> bytes:
        """Of the request."""
        return self._method

    def abort(self) -> None:
        """The answer is not wanted any more, or has taken too long."""
        if not self.is_closing():
            self._connection.doubt(self._began_s)
        Stream.abort(self)


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
        guard = FloodGuard(Allowance(_TRUSTED), Allowance(_TRUSTED), False)
        super().__init__(True, _MOST_STREAMS, _LONGEST_HEAD, guard)
        self.scheme = scheme
        self.going_away = False
        self.idle_since_s = monotonic()
        self._ready = asyncio.Event()
        self._used = False
        self._doubted = False

    def has_room(self) -> bool:
        """Whether it takes one more request."""
        if self.closed or self.going_away or self._doubted:
            return False
        return len(self.streams) < min(self.session.most_streams, _MOST_STREAMS)

    def data_received(self, data: bytes) -> None:
        """Take in frames, whichever they are: the backend is there."""
        self._doubted = False
        Connection.data_received(self, data)

    def pause_writing(self) -> None:
        """The backend takes nothing more for now.

        What it sends is read all the same: one that does likewise would wait for the router, and the router for it.
        """
        self.write_paused = True

    def doubt(self, since_s: float) -> None:
        """A request that was sent then is given up: where nothing at all has come since, ask whether anybody is there.

        Until then other requests go elsewhere, as HTTP/1.1's do, whose connection would be closed.
        """
        if self._now_s < since_s < monotonic() - _SILENT_S and not self.closed:
            self._doubted = True
            self.session.ping(_PING)
            self.flush_soon()

    async def ready(self, within_s: float) -> bool:
        """Wait until the backend has said how many requests it takes; False where it does not, or goes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._ready.wait()
        return self._ready.is_set() and not self.closed

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        Connection.connection_lost(self, exc)
        self._ready.set()

    def settings(self) -> None:
        """The backend has said what it takes."""
        self._ready.set()

    def open(self, opener: Opener, position: int) -> BackendConnection:
        """What stands for a connection to the backend, for one exchange."""
        stream = RequestStream(self)
        backend = BackendConnection(opener, opener.clock, position)
        stream.protocol = backend
        backend.connection_made(cast(asyncio.Transport, stream))
        # On a fresh one the backend cannot have been about to close it.
        backend.reused = self._used
        self._used = True
        return backend

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        Connection.forget(self, stream)
        self.idle_since_s = monotonic()
        if self.going_away and not self.streams:
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self.end(ErrorCode.NO_ERROR)

    def response(self, number: int, headers: tuple[tuple[bytes, bytes], ...], complete: bool) -> None:
        """A response has come, or an interim one."""
        self._guard.heard()
        if number not in self.streams:
            return
        stream = cast(RequestStream, self.streams[number])
        try:
            head = response_from_http2(headers, stream.method, complete)
        except Malformed as error:
            self.malformed(number, str(error))
            return
        self._grade(stream, headers)
        stream.chunks = head.chunked
        stream.missing = head.length
        stream.deliver(head.raw)
        if complete:
            stream.deliver_end(b"")

    def trailers(self, number: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """The end of a response, and of a gRPC call."""
        stream = self.streams.get(number)
        if stream is not None:
            self._grade(stream, headers)
        Connection.trailers(self, number, headers)

    def _grade(self, stream: Stream, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """Count a gRPC call that failed as a failure, though its status is 200."""
        for name, value in headers:
            if name == b"grpc-status":
                attempt = stream.protocol.attempt
                if value in _FAILED and attempt is not None:
                    attempt.failed_as = _FAILED[value]
                return

    def reset_by_peer(self, number: int, code: int) -> None:
        """The backend has ended a call, or not begun with it."""
        if code == ErrorCode.REFUSED_STREAM and number in self.streams:
            self._unseen(self.streams[number], False)
        Connection.reset_by_peer(self, number, code)

    def goes_away(self, last: int, code: int) -> None:
        """It takes no more requests, and has not looked at those after the last that it names."""
        Connection.goes_away(self, last, code)
        self.going_away = True
        for stream in list(self.streams.values()):
            if stream.number > last:
                # A connection that says so of its first request would do it again.
                self._unseen(stream, stream.protocol.reused)
                stream.lost()
        if not self.streams:
            self.end(ErrorCode.NO_ERROR)

    def _unseen(self, stream: Stream, again: bool) -> None:
        backend = stream.protocol
        attempt = backend.attempt
        backend.attempt = None
        if attempt is not None:
            attempt.exchange.unseen(attempt, again)


class Http2Backends:
    """The connections of one pool in one worker.

    Args:
        opener: opens connections.
        size: how many backends it has.
        tls: whether they speak TLS.
        within_s: how long a backend may take to begin to speak HTTP/2.
    """

    def __init__(self, opener: Opener, size: int, tls: bool, within_s: float) -> None:
        self._opener = opener
        self._within_s = within_s
        self._scheme = b"https" if tls else b"http"
        self._open: list[list[Http2BackendConnection]] = [[] for _ in range(size)]
        self._waiting: list[deque[Attempt]] = [deque() for _ in range(size)]
        self._beginning: set[asyncio.Task[None]] = set()

    def connection(self, position: int) -> BackendConnection | None:
        """A place on a connection that is open; None where there is none."""
        for connection in self._open[position]:
            if connection.has_room():
                return connection.open(self._opener, position)
        return None

    def connect(self, attempt: Attempt) -> None:
        """Have a place on a new connection, which all share that wait for it."""
        position = attempt.position
        waiting = self._waiting[position]
        waiting.append(attempt)
        if len(waiting) == 1:
            self._open_one(position)

    def _open_one(self, position: int) -> None:
        arrival = new_attempt(_Arrival(self, position), 1, 0.0)
        arrival.position = position
        self._opener.connect(arrival, lambda: Http2BackendConnection(self._scheme))

    def arrived(self, position: int, connection: Http2BackendConnection) -> None:
        """A connection is there; it is used once the backend has said how many requests it takes."""
        tls = connection.transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != HTTP2:
            connection.end(ErrorCode.NO_ERROR)
            self._opener.complain(position, "it does not offer HTTP/2 (ALPN h2)")
            self.failed(position, Outcome.CONNECT_FAILED)
            return
        beginning = asyncio.create_task(self._begin(position, connection))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)

    async def _begin(self, position: int, connection: Http2BackendConnection) -> None:
        if not await connection.ready(self._within_s):
            connection.end(ErrorCode.SETTINGS_TIMEOUT)
            self._opener.complain(position, "it does not begin to speak HTTP/2")
            self.failed(position, Outcome.CONNECT_FAILED)
            return
        waiting, self._waiting[position] = self._waiting[position], deque()
        self._open[position] = [each for each in self._open[position] if not each.closed]
        self._open[position].append(connection)
        while waiting and connection.has_room():
            attempt = waiting.popleft()
            attempt.exchange.connected(attempt, connection.open(self._opener, position))
        for attempt in waiting:
            self.connect(attempt)

    def failed(self, position: int, outcome: Outcome) -> None:
        """None could be made."""
        waiting, self._waiting[position] = self._waiting[position], deque()
        for attempt in waiting:
            attempt.exchange.connect_failed(attempt, outcome)

    def leave(self, position: int) -> None:
        """Open no more streams to the backend that had a position."""
        for connection in self._open[position]:
            connection.going_away = True
            if not connection.streams:
                connection.end(ErrorCode.NO_ERROR)
        self._open[position] = []

    def close_idle(self, oldest_s: float, present: Sequence[bool]) -> None:
        """Close connections that have had no request since then, and those to backends that have left."""
        for position, connections in enumerate(self._open):
            if not present[position]:
                self.leave(position)
                continue
            for connection in connections:
                if not connection.streams and (connection.idle_since_s < oldest_s or connection.going_away):
                    connection.end(ErrorCode.NO_ERROR)
            if any(connection.closed for connection in connections):
                self._open[position] = [each for each in connections if not each.closed]


class _Arrival(ResponseSink):
    """Waits for a connection on behalf of all requests that want a place on it."""

    def __init__(self, backends: Http2Backends, position: int) -> None:
        self._backends = backends
        self._position = position

    def connected(self, _attempt: Attempt, connection: Any) -> bool:
        self._backends.arrived(self._position, connection)
        return True

    def connect_failed(self, _attempt: Attempt, outcome: Outcome) -> None:
        self._backends.failed(self._position, outcome)
