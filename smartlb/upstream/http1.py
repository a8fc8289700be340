# cython: annotation_typing=False
"""A connection to a backend that speaks HTTP/1.1: reads responses, one attempt at a time."""

import asyncio
import logging
from typing import Final, cast

from smartlb.core.outcome import Outcome
from smartlb.ports.clock import Clock
from smartlb.ports.upstream import Attempt, Home, Link, ResponseSink
from smartlb.wire.answers import ROUTER_FAILED
from smartlb.wire.chunked import BadChunk, ChunkedBody
from smartlb.wire.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    MalformedResponse,
    SwitchedProtocols,
    find_head_end,
    read_response,
)

log = logging.getLogger(__name__)

_LONGEST_HEAD: Final = 65_536


class BackendConnection(Link):
    """One connection, idle or with the attempt whose response it reads.

    Args:
        home: keeps it while it is idle.
        clock: of the data path.
        position: of the backend in its pool.
    """

    def __init__(self, home: Home, clock: Clock, position: int) -> None:
        super().__init__(position)
        self._home = home
        self._clock = clock
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
        attempt = self.attempt
        if attempt is None:
            self._home.forget(self)
            return
        self.attempt = None
        exchange = attempt.exchange
        if self._in_body:
            if self._left == UNTIL_CLOSE and exc is None:
                exchange.complete(attempt, self._clock.now())
            else:
                reason = "the backend closed the connection in the middle of its response"
                exchange.broken(attempt, Outcome.TRUNCATED, reason)
        elif self.reused and not self._buffer:
            exchange.stale(attempt)
        else:
            exchange.broken(attempt, Outcome.RESET, "the backend closed the connection without a response")

    def pause_writing(self) -> None:
        """The backend is slow to read the request."""
        self.write_paused = True
        if self.attempt is not None:
            self.attempt.exchange.backend_paused(self.attempt)

    def resume_writing(self) -> None:
        """The backend has read on."""
        self.write_paused = False
        if self.attempt is not None:
            self.attempt.exchange.backend_paused(self.attempt)

    def eof_received(self) -> None:
        """The backend sends no more; what it has not taken of the request, it need not take any more."""
        if self.attempt is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on a piece of the response."""
        attempt = self.attempt
        if attempt is None:
            # Nothing was asked: whatever this is, the next response could not be told from it.
            self.transport.abort()
            return
        try:
            if self._in_body:
                self._body(attempt, data, 0)
            else:
                self._head(attempt, self._buffer + data if self._buffer else data)
        except (MalformedResponse, BadChunk) as error:
            self._drop(attempt, Outcome.MALFORMED, f"the backend's response is malformed: {error}")
        except Exception:
            log.exception("internal error while reading a response")
            self._drop(attempt, Outcome.INTERNAL, ROUTER_FAILED)

    def _drop(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        self.give_up()
        attempt.exchange.broken(attempt, outcome, reason)

    def _head(self, attempt: Attempt, data: bytes) -> None:
        exchange = attempt.exchange
        if attempt.first_byte_s == 0.0:
            attempt.first_byte_s = self._clock.now()
        while True:
            end = find_head_end(data, 0)
            if end < 0:
                if len(data) > _LONGEST_HEAD:
                    raise MalformedResponse(f"its head is longer than {_LONGEST_HEAD} bytes")
                self._buffer = data
                return
            try:
                response = read_response(data, end, exchange.method)
            except SwitchedProtocols:
                exchange.switches(attempt, data[:end], data[end:])
                return
            if response.status >= 200:
                break
            exchange.interim(attempt, response.head)
            if self.attempt is not attempt:
                return
            self.reused = False  # the backend has seen the request, whatever becomes of the connection now
            data = data[end:]
            if not data:
                self._buffer = b""
                attempt.first_byte_s = 0.0  # that of the final response counts
                return
        self._buffer = b""
        whole = response.length == len(data) - end
        if response.status >= 400 and exchange.discards(attempt, response.status):
            self._discard(attempt, response.status, response.keep_alive and whole)
            return
        exchange.responds(attempt, response)
        self._keep_alive = response.keep_alive
        if whole:
            # The whole response came at once, as small ones do.
            exchange.relay(attempt, data, end, len(data), len(data) - end)
            self._complete(attempt, self._keep_alive)
            return
        self._left = response.length
        if response.length == CHUNKED:
            self._chunked = ChunkedBody(unframed=exchange.content_only)
        self._in_body = True
        self._body(attempt, data, end)

    def _discard(self, attempt: Attempt, status: int, reusable: bool) -> None:
        """Have another backend answer, and the client never hear of this response."""
        self.attempt = None
        now_s = self._clock.now()
        if reusable and self._is_clear(attempt.exchange):
            self.resume_reading()
            self._home.keep(self, now_s)
        else:
            self.transport.abort()
        attempt.exchange.discarded(attempt, status, now_s)

    def _body(self, attempt: Attempt, data: bytes, start: int) -> None:
        """Hand on `data` from `start`, and see whether the response is complete with it."""
        left = self._left
        end = len(data)
        received = end - start
        excess = False
        if left >= 0:
            if received > left:
                excess = True
                received = left
                end = start + left
            self._left = left = left - received
            complete = left == 0
        elif left == UNTIL_CLOSE:
            complete = False
        else:
            body = self._chunked
            assert body is not None
            out, used = body.feed(data, start)
            excess = used < len(data)
            data = out
            start = 0
            end = len(out)
            complete = body.complete
        attempt.exchange.relay(attempt, data, start, end, received)
        if complete:
            self._complete(attempt, self._keep_alive and not excess)

    def _is_clear(self, exchange: ResponseSink) -> bool:
        """Whether another request may follow: the backend is there, and has taken all of the one before."""
        transport = self.transport
        return not (transport.is_closing() or (exchange.has_body and transport.get_write_buffer_size()))

    def _complete(self, attempt: Attempt, reusable: bool) -> None:
        exchange = attempt.exchange
        self.attempt = None
        self._in_body = False
        if self._chunked is not None:
            attempt.trailers = self._chunked.trailers
            self._chunked = None
        now_s = self._clock.now()
        if reusable and exchange.whole and self._is_clear(exchange):
            self.resume_reading()
            # Before the exchange's end, which may let a waiting request have it.
            self._home.keep(self, now_s)
        else:
            # Not `close`, which would wait until the backend has taken all of a request that it has answered.
            self.transport.abort()
        exchange.complete(attempt, now_s)
