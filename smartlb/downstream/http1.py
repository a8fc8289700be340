# cython: annotation_typing=False
"""A client's connection that speaks HTTP/1.1: reads requests, answers them in order."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final, cast

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_ROUTE
from smartlb.downstream.front import Front
from smartlb.exchange.http import HttpExchange, new_exchange
from smartlb.exchange.reset import reset
from smartlb.exchange.states import SUSPENDED
from smartlb.ports.requester import Requester
from smartlb.wire.answers import ROUTER_FAILED, error_response, status_of
from smartlb.wire.chunked import BadChunk, ChunkedBody
from smartlb.wire.forwarding import PLAIN, Channel, Peer, TrustedNetworks
from smartlb.wire.http1 import CHUNKED, HeaderBlock, Request, RequestRefused, find_head_end, read_request
from smartlb.wire.pieces import part, request_head
from smartlb.wire.proxy_protocol import Endpoints

log = logging.getLogger(__name__)

_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")

_NO_ROUTE: Final = "no route matches this request"

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""How HTTP/2 begins where the client knows that it is spoken (RFC 9113 section 3.4)."""

_LONGEST_REMEMBERED: Final = 4_096
"""A head up to so many bytes is known again; longer ones would take much of the memory of idle connections."""

_LINGER_S: Final = 1.0
"""How long a refused client may go on sending before its connection is closed. Closing with unread bytes would
reset the connection, and the client might never see why it was refused (RFC 9112 section 9.6)."""

_FAREWELL_S: Final = 5.0
"""How long an idle client may take to end TLS from its side (close_notify) when the router drains; many only look at
the connection when they need it again."""


BeginHttp2 = Callable[["ClientConnection", Peer, Endpoints | None, bytes], None]
"""Lets HTTP/2 have a client's connection, with what it has sent already."""


class ClientConnection(Requester):
    """One client's connection, with at most one exchange under way; further requests wait in its buffer.

    Args:
        front: what all connections share.
        trusted: proxies that are believed.
        channel_of: tells what a transport runs over; None where there is no TLS.
        begin_http2: lets HTTP/2 have the connection; None where it is not spoken.
        claimed: what a trusted proxy said in a PROXY header.

    Attributes:
        exchange: the one under way.
    """

    # What is not set at the beginning is 0, False or None then, as in every object of C.
    exchange: HttpExchange | None
    _peer: Peer
    _last: Request | None
    _left: int  # bytes of the request's body that have not come yet
    _chunked: ChunkedBody | None
    _beginning: bool
    _closing: bool

    def __init__(
        self,
        front: Front,
        trusted: TrustedNetworks,
        channel_of: Callable[[asyncio.BaseTransport], Channel] | None = None,
        begin_http2: BeginHttp2 | None = None,
        claimed: Endpoints | None = None,
    ) -> None:
        self.prepare(front, trusted, claimed)
        self._begin_http2 = begin_http2
        self._channel_of = channel_of

    def prepare(self, front: Front, trusted: TrustedNetworks, claimed: Endpoints | None) -> None:
        """What `__init__` does, for the client of a stream, of which each request has one."""
        self._front = front
        self._services = front.services
        self._trusted = trusted
        self._claimed = claimed
        self._buffer = b""

    @property
    def address(self) -> str:
        """The client's IP address."""
        return self._peer.address

    def client(self, block: HeaderBlock) -> str:
        """The IP address that a request comes from."""
        return self._peer.client(block)

    @property
    def trusted(self) -> bool:
        """Whether it is a proxy, which has many clients of its own."""
        return self._peer.trusted

    @property
    def endpoints(self) -> Endpoints | None:
        """Who connected to what: as a PROXY header had it, or else as the sockets say."""
        about = self.transport.get_extra_info
        return self._claimed or Endpoints.of_sockets(about("peername"), about("sockname"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        claimed = self._claimed
        peername = (claimed.source, claimed.source_port) if claimed else transport.get_extra_info("peername")
        channel = PLAIN if self._channel_of is None else self._channel_of(transport)
        self._peer = Peer(peername, self._trusted, channel)
        self.deadline_s = self._services.clock.now() + self._services.keep_alive_s
        if not self._front.admission.admit(self):
            self._closing = True
            self.transport.abort()
        elif self._begin_http2 is not None and channel.http2:
            self._switch_to_http2(b"")

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client went away, or we closed."""
        self._front.admission.left(self)
        self._closing = True
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.client_gone()

    def eof_received(self) -> bool:
        """The client sends no more: it went away, as nginx takes it, and half-closing clients are rare."""
        return False

    def pause_writing(self) -> None:
        """The client is slow to read the response: stop reading from the backend."""
        self.write_paused = True
        if self.exchange is not None:
            self.exchange.pause_response()
        self.adjust_reading()

    def resume_writing(self) -> None:
        """The client has read on."""
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.resume_response()
        elif self._buffer and not self._closing:
            self._serve_buffered()
        self.adjust_reading()

    def adjust_reading(self) -> None:
        """Read from the client only what there is a use for now."""
        exchange = self.exchange
        if exchange is not None and not exchange.whole:
            wanted = exchange.takes_body
        else:
            # No further request before the client has read the responses that it has.
            wanted = not self.write_paused and (exchange is None or not self._buffer)
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # Requests

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        if self._closing:
            return
        try:
            exchange = self.exchange
            if exchange is None:
                if self._buffer:
                    data = self._buffer + data
                self._serve(data)
            elif exchange.whole:
                self._buffer += data
                self.transport.pause_reading()
            else:
                self._continue(exchange, data)
        except RequestRefused as refusal:
            if self._begin_http2 is not None and self._last is None and data.startswith(_PREFACE):
                self._switch_to_http2(data)
            else:
                self._refuse(refusal.outcome, refusal.reason, data[:5] != b"HEAD ")
        except Exception:
            log.exception("internal error while reading a request from %s", self._peer.address)
            self._refuse(Outcome.INTERNAL, ROUTER_FAILED, True)

    def _switch_to_http2(self, data: bytes) -> None:
        """The client speaks HTTP/2 from the first byte on, or has agreed to with TLS."""
        assert self._begin_http2 is not None
        self._closing = True
        self._begin_http2(self, self._peer, self._claimed, data)

    def _serve_buffered(self) -> None:
        data, self._buffer = self._buffer, b""
        self.transport.resume_reading()
        self.data_received(data)

    def _serve(self, data: bytes) -> None:
        """Begin the requests in `data`, one after another."""
        while True:
            if data.startswith(b"\r\n"):
                # RFC 9112 section 2.2: an empty line before a request is ignored.
                data = _EMPTY_LINES.sub(b"", data, 1)
            end = find_head_end(data, 0)
            if end < 0 or end > self._services.header_bytes:
                self._incomplete(data)
                return
            self._buffer = b""
            self._beginning = True
            try:
                used = self._begin(data, end)
            finally:
                self._beginning = False
            if self._closing or used == len(data):
                return
            data = part(data, used, len(data))
            if self.exchange is not None or self.write_paused:
                self._buffer = data
                self.transport.pause_reading()
                return

    def _incomplete(self, data: bytes) -> None:
        """Keep the beginning of a head, if it can become one."""
        limit = self._services.header_bytes
        if len(data) > limit:
            raise RequestRefused(Outcome.HEADER_TOO_LARGE, f"the request's head is longer than {limit} bytes")
        if data and not (65 <= data[0] <= 90) and data != b"\r":
            # It is no method: a TLS greeting, say. No head will come of it.
            raise RequestRefused(Outcome.BAD_REQUEST, "this is not an HTTP/1.1 request")
        if data and not self._buffer:
            due_s = self._services.clock.now() + self._services.header_s
            # Half an empty line is no beginning that could earn a connection more time, again and again.
            self.deadline_s = min(self.deadline_s, due_s) if data == b"\r" else due_s
        self._buffer = data

    def _begin(self, data: bytes, end: int) -> int:
        """Start the exchange for the head at ``data[:end]``; returns how much of `data` belongs to the request."""
        front, services = self._front, self._services
        request = read_request(data, end, self._last, services.header_count)
        block = request.block
        length = block.length
        if length > services.body_bytes:
            raise RequestRefused(Outcome.BODY_TOO_LARGE, f"the body is longer than {services.body_bytes} bytes")
        now_s = services.clock.now()
        route = front.routing.route(request.method, request.target, block)
        if route == NO_ROUTE:
            if length:
                raise RequestRefused(Outcome.NO_ROUTE, _NO_ROUTE)
            self._no_route(request)
            return end
        plan = front.plans[route]
        if end <= _LONGEST_REMEMBERED:
            self._last = request
        request_class = front.routing.request_class(request.method, block, route)
        exchange = new_exchange(services, self, request, route, request_class, now_s)
        self.exchange = exchange
        body = b""
        used = end
        plain = plan.empty and not block.upgrade
        if length:
            exchange.body_content = plan.reads_body
            self._left = length
            self._chunked = ChunkedBody(unframed=plan.reads_body) if length == CHUNKED else None
            body, used = self._body(exchange, data, end)
        if plain:
            pool = plan.pool
            if not block.outgoing:
                self._peer.complete(block, pool.name)
            exchange.request_id = block.request_id or services.request_ids.next()
            if pool.by_key:
                exchange.key = pool.request_key(self._peer, request.target, block)
            head = request_head(request.method, request.target, block.outgoing, exchange.request_id)
            exchange.begin(pool, head, body, now_s)
        else:
            exchange.begin_planned(plan, self._peer, body)
        if not exchange.whole and self.exchange is exchange:
            self.adjust_reading()
        return used

    def _body(self, exchange: HttpExchange, data: bytes, at: int) -> tuple[bytes, int]:
        """The part of `data` from `at` that is the request's body, and where it ends."""
        chunked = self._chunked
        if chunked is None:
            end = min(len(data), at + self._left)
            body = part(data, at, end)
            self._left -= len(body)
            exchange.request_bytes += len(body)
            exchange.whole = self._left == 0
            return body, end
        try:
            body, end = chunked.feed(data, at)
        except BadChunk as error:
            raise RequestRefused(Outcome.BAD_REQUEST, f"the request's body is malformed: {error}") from None
        exchange.request_bytes = chunked.received
        exchange.whole = chunked.complete
        exchange.trailers = chunked.trailers
        limit = self._services.body_bytes
        if chunked.received > limit:
            raise RequestRefused(Outcome.BODY_TOO_LARGE, f"the body is longer than {limit} bytes")
        return body, end

    def _continue(self, exchange: HttpExchange, data: bytes) -> None:
        """Forward a further piece of the request's body."""
        body, used = self._body(exchange, data, 0)
        if used < len(data):
            self._buffer = data[used:]
        if not exchange.whole and exchange.state != SUSPENDED:
            self.expect_body(self._services.clock.now())
        exchange.more(body)
        if self.exchange is not None:
            self.adjust_reading()

    def expect_body(self, now_s: float) -> None:
        """More of the request's body has to come in time."""
        if self.exchange is not None:
            self.deadline_s = min(self.exchange.must_end_s, now_s + self._services.idle_s)

    # Answers

    def answer(self, outcome: Outcome, message: str, keep_alive: bool, body: bool) -> None:
        """Answer the present request from the router itself."""
        if self._closing:
            return
        keep_alive = keep_alive and not self._services.draining
        self.transport.write(error_response(outcome, message, keep_alive=keep_alive, body=body))
        self.exchange_over(keep_alive, self._services.clock.now())

    def answer_with(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        """Answer the present request with a response that a stage has made."""
        if self._closing:
            return
        keep_alive = keep_alive and not self._services.draining
        self.transport.write(head + (b"\r\n" if keep_alive else b"connection: close\r\n\r\n") + body)
        self.exchange_over(keep_alive, self._services.clock.now())

    def exchange_over(self, keep_alive: bool, now_s: float) -> None:
        """The answer has been written whole: serve the next request, or close."""
        unread = self.exchange is not None and not self.exchange.whole
        self.exchange = None
        if self._closing:
            return
        self.deadline_s = now_s + self._services.keep_alive_s
        if self._services.draining and self._unsent:
            self.deadline_s = now_s + self._services.idle_s  # it is not idle: it reads its response
        if not keep_alive:
            self._close(unread or bool(self._buffer))
            return
        if self._buffer and not self._beginning and not self.write_paused:
            self._serve_buffered()

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Let another protocol have the connection; returns what the client has sent after its request."""
        early, self._buffer = self._buffer, b""
        self.transport.set_protocol(protocol)
        return early

    def tunnel_over(self, exc: Exception | None) -> None:
        """The connection that was handed over is gone; this has not heard of it, as the tunnel stood in its place."""
        self.exchange = None
        self.connection_lost(exc)

    def abort_exchange(self, at_once: bool) -> None:
        """The response broke off: the client must not take it for complete.

        Args:
            at_once: whether by a reset, which also takes from the client what it has not read yet, responses before
                this one too. Nothing else tells that a response is not whole whose end is that of the connection.
        """
        self.exchange = None
        if at_once:
            self._closing = True
            reset(self.transport)
        else:
            self.deadline_s = self._services.clock.now() + self._services.idle_s
            self._close(False)

    def timed_out(self, now_s: float) -> None:
        """The deadline has passed."""
        if self.exchange is not None:
            self.exchange.timed_out(now_s)
        elif self._closing or not self._buffer:
            self._closing = True
            self.transport.abort()
        else:
            self._refuse(Outcome.CLIENT_TIMEOUT, "the request's head did not come in time", True)

    def drain(self, idle_s: float) -> None:
        """Close after the next response that can still say so.

        Args:
            idle_s: how long a connection without a request may wait for one. A request may be on its way already, and
                closing now would lose it.
        """
        exchange = self.exchange
        if exchange is not None:
            # Where the head of the response has promised to go on, the client may count on it.
            if not (exchange.response_started and idle_s):
                exchange.keep_alive = False
        elif self._buffer:
            return  # the beginning of a request
        elif idle_s:
            if not self._unsent:
                self.deadline_s = min(self.deadline_s, self._services.clock.now() + idle_s)
        else:
            self._close(False)
            if self._channel_of is not None:
                self.deadline_s = self._services.clock.now() + _FAREWELL_S

    def _no_route(self, request: Request) -> None:
        outcome, block = Outcome.NO_ROUTE, request.block
        client = self._peer.client(block)
        self._services.record_refused(outcome, status_of(outcome), client, request.method, request.target)
        self.answer(outcome, _NO_ROUTE, block.keep_alive and not block.http10, request.method != b"HEAD")

    def _refuse(self, outcome: Outcome, reason: str, body: bool) -> None:
        """Answer a request that is wrong, and close: where the next one begins is not known."""
        exchange = self.exchange
        if exchange is not None:
            exchange.refused_midway(outcome, reason)
            return
        self._services.record_refused(outcome, status_of(outcome), self._peer.address)
        if not self._closing:
            self.transport.write(error_response(outcome, reason, keep_alive=False, body=body))
            self._close(True)

    @property
    def unfinished(self) -> bool:
        """Whether there is an exchange under way."""
        return self.exchange is not None

    @property
    def _unsent(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size

    def _close(self, linger: bool) -> None:
        self._closing = True
        self._buffer = b""
        # Who still reads the answer has not been told yet that it is the last.
        linger_s = self._services.idle_s if self._unsent else _LINGER_S
        if linger and self.transport.can_write_eof():
            self.transport.write_eof()
            self.transport.resume_reading()
            self.deadline_s = self._services.clock.now() + linger_s
        else:
            self.transport.close()
            if linger:  # with TLS, which cannot be closed in one direction
                self.deadline_s = self._services.clock.now() + linger_s
