"""A connection to a backend: reads responses, one exchange at a time."""

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, cast

from smartlb.core.outcome import COMPLETE, Outcome
from smartlb.wire.answers import ROUTER_FAILED
from smartlb.wire.chunked import BadChunk, ChunkedBody, chunk
from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE, MalformedResponse, SwitchedProtocols, read_response

if TYPE_CHECKING:
    from smartlb.exchange.exchange import Exchange
    from smartlb.upstream.pool import Pool

log = logging.getLogger(__name__)

_LONGEST_HEAD = 65_536
_COPY_BELOW = 4_096  # a smaller body is joined to its head, a larger one is written beside it


class BackendConnection(asyncio.Protocol):
    """One connection, idle or with the exchange whose response it reads.

    Attributes:
        position: of the backend in its pool.
        transport: set once connected.
        exchange: the one under way; None when idle.
        reused: whether it has been idle before; the backend may close it just when a request is sent.
        idle_since_s: when it last became idle.
        write_paused: whether the backend takes the request more slowly than the client sends it.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_in_body",
        "_keep_alive",
        "_left",
        "_pool",
        "exchange",
        "idle_since_s",
        "position",
        "reused",
        "transport",
        "write_paused",
    )

    transport: asyncio.Transport

    def __init__(self, pool: "Pool", position: int) -> None:
        self._pool = pool
        self.position = position
        self.exchange: Exchange | None = None
        self.reused = False
        self.idle_since_s = 0.0
        self.write_paused = False
        self._buffer = b""
        self._in_body = False
        self._keep_alive = False
        self._left = 0
        self._chunked: ChunkedBody | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The backend closed or reset the connection, or we did."""
        exchange = self.exchange
        if exchange is None:
            self._pool.forget(self)
            return
        self.exchange = None
        if self._in_body and self._left == UNTIL_CLOSE and exc is None:
            exchange.response_complete(monotonic())
        elif exchange.response_started:
            exchange.broken(Outcome.TRUNCATED, "the backend closed the connection in the middle of its response")
        elif self.reused and not self._buffer:
            exchange.stale()
        else:
            exchange.broken(Outcome.RESET, "the backend closed the connection without a response")

    def pause_writing(self) -> None:
        """The backend is slow to read the request: stop reading from the client."""
        self.write_paused = True
        if self.exchange is not None:
            self.exchange.client.adjust_reading()

    def resume_writing(self) -> None:
        """The backend has read on."""
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.client.adjust_reading()

    def data_received(self, data: bytes) -> None:
        """Relay a piece of the response."""
        exchange = self.exchange
        if exchange is None:
            # Nothing was asked: whatever this is, the next response could not be told from it.
            self.transport.abort()
            return
        try:
            if self._in_body:
                self._body(exchange, data, b"")
            else:
                self._head(exchange, self._buffer + data if self._buffer else data)
        except (MalformedResponse, BadChunk) as error:
            self._drop(exchange, Outcome.MALFORMED, f"the backend's response is malformed: {error}")
        except Exception:
            log.exception("internal error while reading a response of %s", self._pool.name)
            self._drop(exchange, Outcome.INTERNAL, ROUTER_FAILED)

    def _drop(self, exchange: "Exchange", outcome: Outcome, reason: str) -> None:
        self.exchange = None
        self.transport.abort()
        exchange.broken(outcome, reason)

    def _head(self, exchange: "Exchange", data: bytes) -> None:
        if not exchange.first_byte_s:
            exchange.first_byte_s = monotonic()
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(data) > _LONGEST_HEAD:
                    raise MalformedResponse(f"its head is longer than {_LONGEST_HEAD} bytes")
                self._buffer = data
                return
            try:
                response = read_response(data, end, exchange.method)
            except SwitchedProtocols:
                exchange.switch(self, data[:end], data[end:])
                return
            head, status, length, keep_alive = response.head, response.status, response.length, response.keep_alive
            if status >= 200:
                break
            exchange.interim(head)
            self.reused = False  # the backend has seen the request, whatever becomes of the connection now
            data = data[end:]
            if not data:
                self._buffer = b""
                exchange.first_byte_s = 0.0  # that of the final response counts
                return
        if self._buffer:
            self._buffer = b""
        if status >= 400 and exchange.may_retry(status):
            self._discard(exchange, status, keep_alive and length == len(data) - end)
            return
        head = exchange.start_response(head, status, length)
        if length == len(data) - end:
            # The whole response came at once, as small ones do.
            exchange.response_bytes = length
            self._write(exchange, head, data, end)
            self._complete(exchange, keep_alive)
            return
        self._keep_alive = keep_alive
        self._left = length
        if length == CHUNKED:
            self._chunked = ChunkedBody(unframed=exchange.http10 or exchange.encoder is not None)
        self._in_body = True
        try:
            self._body(exchange, data, head, end)
        except BadChunk:
            exchange.response_started = False  # nothing of it has been sent yet
            raise

    def _discard(self, exchange: "Exchange", status: int, reusable: bool) -> None:
        """Have another backend answer, and the client never hear of this response."""
        self.exchange = None
        now_s = monotonic()
        if reusable and self._is_clear(exchange):
            if exchange.client.write_paused:
                self.transport.resume_reading()
            self._pool.keep(self, now_s)
        else:
            self.transport.abort()
        exchange.retry(COMPLETE, status, now_s)

    def _write(self, exchange: "Exchange", head: bytes, data: bytes, at: int) -> None:
        """Send the client `head` and ``data[at:]``."""
        transport = exchange.client.transport
        if exchange.encoder is not None:
            data, at = chunk(exchange.encoder.encode(data[at:])) if at < len(data) else b"", 0
        size = len(data) - at
        if size >= _COPY_BELOW:
            transport.writelines((head, memoryview(data)[at:]))
        elif head or size:
            transport.write(head + data[at:] if at or head else data)

    def _body(self, exchange: "Exchange", data: bytes, head: bytes, at: int = 0) -> None:
        """Relay `data` from `at` after `head`, and see whether the response is complete with it."""
        left = self._left
        received = len(data) - at
        excess = False
        if left >= 0:
            if received > left:
                excess = True
                data, received = data[: at + left], left
            self._left = left = left - received
            complete = left == 0
        elif left == UNTIL_CLOSE:
            complete = False
        else:
            body = cast(ChunkedBody, self._chunked)
            out, used = body.feed(data, at)
            excess = used < len(data)
            data, at = out, 0
            complete = body.complete
        exchange.response_bytes += received

        self._write(exchange, head, data, at)
        if complete:
            self._complete(exchange, self._keep_alive and not excess)

    def _is_clear(self, exchange: "Exchange") -> bool:
        """Whether another request may follow: the backend is there, and has taken all of the one before."""
        transport = self.transport
        return not (transport.is_closing() or (exchange.request_bytes and transport.get_write_buffer_size()))

    def eof_received(self) -> None:
        """The backend sends no more; what it has not taken of the request, it need not take any more."""
        if self.exchange is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def _complete(self, exchange: "Exchange", reusable: bool) -> None:
        self.exchange = None
        self._in_body = False
        self._chunked = None
        now_s = monotonic()
        if reusable and exchange.request_complete and self._is_clear(exchange):
            if exchange.client.write_paused:
                self.transport.resume_reading()
            # Before the exchange's end, which may let a waiting request have it.
            self._pool.keep(self, now_s)
        else:
            # Not `close`, which would wait until the backend has taken all of a request that it has answered.
            self.transport.abort()
        exchange.response_complete(now_s)
