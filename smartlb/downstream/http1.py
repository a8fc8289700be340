"""A connection from a client: reads requests, answers them in order."""

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, cast

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_ROUTE
from smartlb.exchange.exchange import Exchange
from smartlb.exchange.reset import reset
from smartlb.exchange.traffic import ControlledExchange, RouteTraffic
from smartlb.exchange.tunnel import UpgradeExchange
from smartlb.stages.answer import FixedResponse, Redirection
from smartlb.wire.answers import ROUTER_FAILED, error_response, status_of
from smartlb.wire.chunked import BadChunk, ChunkedBody
from smartlb.wire.forwarding import PLAIN, Channel, Peer, TrustedNetworks
from smartlb.wire.http1 import CHUNKED, HeaderBlock, Request, RequestRefused, read_request
from smartlb.wire.proxy_protocol import Endpoints
from smartlb.wire.upgrade import offer_of

if TYPE_CHECKING:
    from smartlb.worker.worker import Worker

log = logging.getLogger(__name__)

_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")

_NO_ROUTE = "no route matches this request"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""How HTTP/2 begins where the client knows that it is spoken (RFC 9113 section 3.4)."""

_LONGEST_REMEMBERED = 4_096
"""A head up to so many bytes is known again; longer ones would take much of the memory of idle connections."""

_LINGER_S = 1.0
"""How long a refused client may go on sending before its connection is closed. Closing with unread bytes would
reset the connection, and the client might never see why it was refused (RFC 9112 section 9.6)."""

_FAREWELL_S = 5.0
"""How long an idle client may take to end TLS from its side (close_notify) when the router drains; many only look at
the connection when they need it again."""


BeginHttp2 = Callable[[asyncio.Transport, Peer, Endpoints | None, bytes], None]
"""Lets HTTP/2 have a client's connection, with what it has sent already."""


class ClientConnection(asyncio.Protocol):
    """One client's connection, with at most one exchange under way; further requests wait in its buffer.

    Attributes:
        worker: whose connection it is.
        transport: set once connected.
        exchange: the one under way.
        deadline_s: when the present phase has taken too long; monotonic.
        write_paused: whether the client takes the response more slowly than the backend sends it.
    """

    __slots__ = (
        "_begin_http2",
        "_beginning",
        "_buffer",
        "_channel_of",
        "_chunked",
        "_claimed",
        "_closing",
        "_last",
        "_left",
        "_peer",
        "_trusted",
        "deadline_s",
        "exchange",
        "transport",
        "worker",
        "write_paused",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        worker: "Worker",
        trusted: TrustedNetworks,
        channel_of: Callable[[asyncio.BaseTransport], Channel] | None = None,
        begin_http2: BeginHttp2 | None = None,
        claimed: Endpoints | None = None,
    ) -> None:
        self.worker = worker
        self._begin_http2 = begin_http2
        self._channel_of = channel_of
        self._trusted = trusted
        self._claimed = claimed  # what a trusted proxy said in a PROXY header
        self.exchange: Exchange | None = None
        self.deadline_s = 0.0
        self.write_paused = False
        self._buffer = b""
        self._last: Request | None = None
        self._left = 0  # bytes of the request's body that have not come yet
        self._chunked: ChunkedBody | None = None
        self._beginning = False
        self._closing = False

    @property
    def address(self) -> str:
        """The client's IP address."""
        return self._peer.address

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
        self.deadline_s = monotonic() + self.worker.keep_alive_s
        if not self.worker.admit(self):
            self._closing = True
            self.transport.abort()
        elif self._begin_http2 is not None and channel.http2:
            self._switch_to_http2(b"")

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client went away, or we closed."""
        self.worker.left(self)
        self._closing = True
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.client_gone()

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
        if exchange is not None and not exchange.request_complete:
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
            elif exchange.request_complete:
                self._buffer += data
                self.transport.pause_reading()
            else:
                self._continue(exchange, data)
        except RequestRefused as refusal:
            if self._begin_http2 is not None and self._last is None and data.startswith(_PREFACE):
                self._switch_to_http2(data)
            else:
                self._refuse(refusal.outcome, refusal.reason, body=data[:5] != b"HEAD ")
        except Exception:
            log.exception("internal error while reading a request from %s", self._peer.address)
            self._refuse(Outcome.INTERNAL, ROUTER_FAILED)

    def _switch_to_http2(self, data: bytes) -> None:
        """The client speaks HTTP/2 from the first byte on, or has agreed to with TLS."""
        assert self._begin_http2 is not None
        self._closing = True
        self.worker.clients.discard(self)  # not counted out: its connection takes its place
        self._begin_http2(self.transport, self._peer, self._claimed, data)

    def _serve_buffered(self) -> None:
        data, self._buffer = self._buffer, b""
        self.transport.resume_reading()
        self.data_received(data)

    def _serve(self, data: bytes) -> None:
        """Begin the requests in `data`, one after another."""
        while True:
            if data[:2] == b"\r\n":
                # RFC 9112 section 2.2: an empty line before a request is ignored.
                data = _EMPTY_LINES.sub(b"", data, 1)
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > self.worker.header_bytes:
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
            data = data[used:]
            if self.exchange is not None or self.write_paused:
                self._buffer = data
                self.transport.pause_reading()
                return

    def _incomplete(self, data: bytes) -> None:
        """Keep the beginning of a head, if it can become one."""
        limit = self.worker.header_bytes
        if len(data) > limit:
            raise RequestRefused(Outcome.HEADER_TOO_LARGE, f"the request's head is longer than {limit} bytes")
        if data and not (65 <= data[0] <= 90) and data != b"\r":
            # It is no method: a TLS greeting, say. No head will come of it.
            raise RequestRefused(Outcome.BAD_REQUEST, "this is not an HTTP/1.1 request")
        if data and not self._buffer:
            due_s = monotonic() + self.worker.header_s
            # Half an empty line is no beginning that could earn a connection more time, again and again.
            self.deadline_s = min(self.deadline_s, due_s) if data == b"\r" else due_s
        self._buffer = data

    def _begin(self, data: bytes, end: int) -> int:
        """Start the exchange for the head at ``data[:end]``; returns how much of `data` belongs to the request."""
        worker = self.worker
        request = read_request(data, end, self._last, worker.header_count)
        method, target, block = request.method, request.target, request.block
        length = block.length
        if length > worker.body_bytes:
            raise RequestRefused(Outcome.BODY_TOO_LARGE, f"the body is longer than {worker.body_bytes} bytes")
        now_s = monotonic()
        route = worker.routing.route(method, target, block)
        if route == NO_ROUTE:
            if length:
                raise RequestRefused(Outcome.NO_ROUTE, _NO_ROUTE)
            self._no_route(block.keep_alive and not block.http10, method, target)
            return end
        pool = worker.route_pools.get(route)
        if pool is None or block.upgrade:
            return self._begin_controlled(worker.route_traffic[route], data, end, request, route, now_s)
        if not block.outgoing:
            self._peer.complete(block, pool.name)
        if end <= _LONGEST_REMEMBERED:
            self._last = request
        request_id = block.request_id or worker.next_request_id()
        start = b"%s %s HTTP/1.1%s%s\r\n\r\n" % (method, target, block.outgoing, request_id)
        key = 0 if pool.key == "none" else self._peer.key(pool.key, target, block)
        self.exchange = exchange = Exchange(
            self,
            pool,
            method,
            target,
            block,
            route,
            worker.routing.request_class(method, block, route),
            request_id,
            key,
            now_s,
        )
        if length == 0:
            exchange.request_complete = True
            exchange.start(start)
            return end
        return self._start_with_body(exchange, start, data, end, length)

    def _begin_controlled(
        self,
        traffic: RouteTraffic,
        data: bytes,
        end: int,
        request: Request,
        route: int,
        now_s: float,
    ) -> int:
        """`_begin` for a route that does more than hand its requests to its pool, and for one that asks for more."""
        worker, peer = self.worker, self._peer
        method, target, block = request.method, request.target, request.block
        if traffic.limit is not None:
            wait_s = traffic.limit.take(traffic.limit.key(peer, target, block), now_s)
            if wait_s > 0.0:
                self._limit_rate(wait_s, method, target, block, route)
                return end
        if traffic.answer is not None:
            self._answer_itself(traffic.answer, method, target, block, route)
            return end
        pool = traffic.pool(peer, target, block)
        if not block.outgoing:
            peer.complete(block, pool.name)
        if end <= _LONGEST_REMEMBERED:
            self._last = request
        request_id = block.request_id or worker.next_request_id()
        start = traffic.head(method, target, block.outgoing, request_id)
        begin: Callable[..., Exchange] = ControlledExchange
        if block.upgrade and (offer := offer_of(method, block, pool.upgrades)) is not None:
            begin = partial(UpgradeExchange, offer)
            start = start[:-4] + offer.lines + b"\r\n\r\n"
        self.exchange = exchange = begin(
            traffic,
            peer,
            block,
            self,
            pool,
            method,
            target,
            block,
            route,
            worker.routing.request_class(method, block, route),
            request_id,
            pool.request_key(peer, target, block),
            now_s,
        )
        if block.length:
            return self._start_with_body(exchange, start, data, end, block.length)
        exchange.request_complete = True
        exchange.start(start)
        return end

    def _start_with_body(self, exchange: Exchange, start: bytes, data: bytes, end: int, length: int) -> int:
        """Start an exchange whose request has a body; returns where in `data` the request ends."""
        self._left = length
        self._chunked = ChunkedBody() if length == CHUNKED else None
        body, used = self._body(exchange, data, end)
        exchange.start(start + body)
        if not exchange.request_complete and self.exchange is exchange:
            self.adjust_reading()
        return used

    def _body(self, exchange: Exchange, data: bytes, at: int) -> tuple[bytes, int]:
        """The part of `data` from `at` that is the request's body, and where it ends."""
        chunked = self._chunked
        if chunked is None:
            end = min(len(data), at + self._left)
            body = data[at:end] if at or end < len(data) else data
            self._left -= len(body)
            exchange.request_bytes += len(body)
            exchange.request_complete = self._left == 0
            return body, end
        try:
            body, end = chunked.feed(data, at)
        except BadChunk as error:
            raise RequestRefused(Outcome.BAD_REQUEST, f"the request's body is malformed: {error}") from None
        exchange.request_bytes = chunked.received
        exchange.request_complete = chunked.complete
        limit = self.worker.body_bytes
        if chunked.received > limit:
            raise RequestRefused(Outcome.BODY_TOO_LARGE, f"the body is longer than {limit} bytes")
        return body, end

    def _continue(self, exchange: Exchange, data: bytes) -> None:
        """Forward a further piece of the request's body."""
        body, used = self._body(exchange, data, 0)
        if used < len(data):
            self._buffer = data[used:]
        if not exchange.request_complete:
            self.expect_body(monotonic())
        exchange.send(body)
        if self.exchange is not None:
            self.adjust_reading()

    def expect_body(self, now_s: float) -> None:
        """More of the request's body has to come in time."""
        if self.exchange is not None:
            self.deadline_s = min(self.exchange.deadline_s, now_s + self.worker.idle_s)

    def carried_by(self, exchange: Exchange) -> None:
        """Another exchange goes on with the request: its first attempt failed or was overtaken."""
        self.exchange = exchange

    # Answers

    def answer(self, outcome: Outcome, message: str, *, keep_alive: bool, body: bool = True) -> None:
        """Answer the present request from the router itself."""
        if self._closing:
            return
        keep_alive = keep_alive and not self.worker.draining
        self.transport.write(error_response(outcome, message, keep_alive=keep_alive, body=body))
        self.exchange_over(keep_alive, monotonic())

    def _answer_itself(
        self, answer: Redirection | FixedResponse, method: bytes, target: bytes, block: HeaderBlock, route: int
    ) -> None:
        """Answer as the route says. A body is not read: the connection closes."""
        keep_alive = block.keep_alive and not block.http10 and not block.length
        body = b""
        if isinstance(answer, FixedResponse):
            head = answer.head
            if method != b"HEAD":
                body = answer.body
        else:
            location = answer.response(target, block)
            if location is None:
                raise RequestRefused(Outcome.BAD_REQUEST, "the Host header is missing, and the redirect needs it")
            head = location
        self.worker.record_refused(Outcome.COMPLETE, answer.status, self._peer.address, method, target, route)
        self._write_own(head, body, keep_alive=keep_alive, linger=block.length != 0)

    def _limit_rate(self, wait_s: float, method: bytes, target: bytes, block: HeaderBlock, route: int) -> None:
        """Refuse a request that came too soon. A body is not read: the connection closes."""
        outcome = Outcome.RATE_LIMITED
        self.worker.record_refused(outcome, status_of(outcome), self._peer.address, method, target, route)
        keep_alive = block.keep_alive and not block.http10 and not block.length and not self.worker.draining
        message = "more requests came than this client may send"
        retry_after = b"retry-after: %d\r\n" % ceil(wait_s)
        self.transport.write(
            error_response(outcome, message, keep_alive=keep_alive, body=method != b"HEAD", headers=retry_after)
        )
        self._own_answer_over(keep_alive=keep_alive, linger=block.length != 0)

    def _write_own(self, head: bytes, body: bytes, *, keep_alive: bool, linger: bool) -> None:
        """Send an answer to a request that has no exchange; `linger` where more of it may come."""
        keep_alive = keep_alive and not self.worker.draining
        self.transport.write(head + (b"\r\n" if keep_alive else b"connection: close\r\n\r\n") + body)
        self._own_answer_over(keep_alive=keep_alive, linger=linger)

    def _own_answer_over(self, *, keep_alive: bool, linger: bool) -> None:
        if keep_alive:
            self.exchange_over(keep_alive, monotonic())
        else:
            self._close(linger=linger)

    def exchange_over(self, keep_alive: bool, now_s: float) -> None:
        """The answer has been written whole: serve the next request, or close."""
        unread = self.exchange is not None and not self.exchange.request_complete
        self.exchange = None
        if self._closing:
            return
        self.deadline_s = now_s + self.worker.keep_alive_s
        if self.worker.draining and self._unsent:
            self.deadline_s = now_s + self.worker.idle_s  # it is not idle: it reads its response
        if not keep_alive:
            self._close(linger=unread or bool(self._buffer))
            return
        if self._buffer and not self._beginning and not self.write_paused:
            self._serve_buffered()

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Let another protocol have the connection; returns what the client has sent after its request."""
        early, self._buffer = self._buffer, b""
        self.transport.set_protocol(protocol)
        return early

    def abort_exchange(self, *, at_once: bool) -> None:
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
            self.deadline_s = monotonic() + self.worker.idle_s
            self._close(linger=False)

    def timed_out(self, now_s: float) -> None:
        """The deadline has passed."""
        if self.exchange is not None:
            self.exchange.timed_out(now_s)
        elif self._closing or not self._buffer:
            self._closing = True
            self.transport.abort()
        else:
            self._refuse(Outcome.CLIENT_TIMEOUT, "the request's head did not come in time")

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
                self.deadline_s = min(self.deadline_s, monotonic() + idle_s)
        else:
            self._close(linger=False)
            if self._channel_of is not None:
                self.deadline_s = monotonic() + _FAREWELL_S

    def _no_route(self, keep_alive: bool, method: bytes, target: bytes) -> None:
        outcome = Outcome.NO_ROUTE
        self.worker.record_refused(outcome, status_of(outcome), self._peer.address, method, target)
        self.answer(outcome, _NO_ROUTE, keep_alive=keep_alive, body=method != b"HEAD")

    def _refuse(self, outcome: Outcome, reason: str, *, body: bool = True) -> None:
        """Answer a request that is wrong, and close: where the next one begins is not known."""
        exchange = self.exchange
        if exchange is not None:
            exchange.refused_midway(outcome, reason)
            return
        self.worker.record_refused(outcome, status_of(outcome), self._peer.address)
        if not self._closing:
            self.transport.write(error_response(outcome, reason, keep_alive=False, body=body))
            self._close(linger=True)

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _close(self, *, linger: bool) -> None:
        self._closing = True
        self._buffer = b""
        # Who still reads the answer has not been told yet that it is the last.
        linger_s = self.worker.idle_s if self._unsent else _LINGER_S
        if linger and self.transport.can_write_eof():
            self.transport.write_eof()
            self.transport.resume_reading()
            self.deadline_s = monotonic() + linger_s
        else:
            self.transport.close()
            if linger:  # with TLS, which cannot be closed in one direction
                self.deadline_s = monotonic() + linger_s
