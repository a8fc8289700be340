# cython: annotation_typing=False
"""One HTTP request and its response, from the arrival of the request to its last telemetry record."""

import asyncio
import logging
from math import inf
from typing import Any, Final

from smartlb.core.outcome import COMPLETE, HEDGE_LOST, SWITCHING_PROTOCOLS, Outcome
from smartlb.exchange.body import FilteredBody
from smartlb.exchange.exchange import Exchange
from smartlb.exchange.pipeline import Pipeline, new_pipeline
from smartlb.exchange.states import (
    AWAITING,
    COLLECTING,
    CONNECTING,
    OVER,
    RELAYING,
    SENDING,
    SUSPENDED,
    TUNNEL,
    WAITING,
)
from smartlb.exchange.tunnel import Tunnel
from smartlb.ports.requester import Requester
from smartlb.ports.services import Services
from smartlb.ports.upstream import Attempt, Link, new_attempt
from smartlb.stages.context import new_context, new_response_head
from smartlb.stages.plan import RoutePlan
from smartlb.upstream.pool import Pool
from smartlb.upstream.retries import NOTHING_SENT
from smartlb.wire.answers import ROUTER_FAILED, Answer, error_answer, status_of
from smartlb.wire.forwarding import Peer
from smartlb.wire.http1 import (
    CHUNKED,
    IDEMPOTENT,
    UNTIL_CLOSE,
    MalformedResponse,
    Request,
    RequestRefused,
    Response,
    without_header,
)
from smartlb.wire.pieces import joined
from smartlb.wire.proxy_protocol import Endpoints
from smartlb.wire.upgrade import Offer, offer_of

log = logging.getLogger(__name__)

_UNREACHABLE: Final = "the backend cannot be reached"
_NONE: Final[Any] = None
_COPY_BELOW: Final = 4_096
"""A smaller body is joined to its head, a larger one is written beside it."""


class HttpExchange(Exchange):
    """Carries one request to a backend and its response back.

    `new_exchange` makes one.

    Attributes:
        requester: who gets the response.
        request: its head.
        keep_alive: whether the client's connection stays open afterwards.
        http10: whether the client speaks HTTP/1.0.
        response_started: whether a response is being relayed.
        body_content: whether `more` takes the content of a body without the framing of chunks.
        trailers: lines after such content, without their CRLF.
    """

    # What is not set at the beginning is 0, False or None then, as in every object of C.
    requester: Requester
    request: Request
    keep_alive: bool
    http10: bool
    response_started: bool
    body_content: bool
    trailers: list[bytes] | None
    _expects: bool
    _status: int
    _until_close: bool
    _rival: Attempt | None
    _unsent: bytes | None
    _replay: bytes | None
    _pending: bytes | None  # the head of the response, until its first piece is sent with it
    _pipeline: Pipeline | None
    _response_body: FilteredBody | None
    _offer: Offer | None
    _tunnel: Tunnel | None
    _suspended: asyncio.Future[Answer | None] | None

    @property
    def client(self) -> str:
        """The client's IP address, also behind proxies that are trusted."""
        return self.requester.client(self.request.block)

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header."""
        return self.requester.endpoints

    # The beginning

    def begin(self, pool: Pool, head: bytes, body: bytes, now_s: float) -> None:
        """Dispatch the request.

        Args:
            pool: where it goes.
            head: as it is sent.
            body: what has come of it, as it is sent.
            now_s: the time; later than `arrived_s` where stages have taken some.
        """
        self.pool = pool
        self.must_end_s = self.arrived_s + pool.request_s
        data = head + body if body else head
        if self.whole:
            self._replay = data
        self._unsent = data
        self.attempt = new_attempt(self, 1, now_s)
        self.dispatch(now_s)

    def begin_planned(self, plan: RoutePlan, peer: Peer, body: bytes) -> None:
        """Take the request through the stages of its route, and dispatch it.

        Args:
            plan: of the route.
            peer: who the request came from.
            body: what has come of it: its content where `body_content`, which `more` gets too.

        Raises:
            RequestRefused: by a stage.
        """
        context = new_context(self.request, peer, self.route, self.request_class, self.arrived_s, plan.pool)
        self._pipeline = new_pipeline(plan, context, body)
        self._proceed()

    def _proceed(self) -> None:
        """Ask the stages that have not been asked yet."""
        pipeline = self._pipeline
        assert pipeline is not None
        verdict = pipeline.proceed(self.whole)
        if verdict is None:
            if pipeline.needs_body:
                self._collect()
            else:
                self._ready(pipeline)
        elif isinstance(verdict, Answer):
            self._answer_with(verdict)
        else:
            self.enter(SUSPENDED)
            self.requester.deadline_s = self.services.clock.now() + pipeline.timeout_s
            self._suspended = asyncio.ensure_future(verdict)
            self._suspended.add_done_callback(self._resumed)
            self.requester.adjust_reading()

    def _collect(self) -> None:
        """Wait for the rest of the body."""
        if self.state == COLLECTING:
            return
        self.enter(COLLECTING)
        if self._expects:
            self._expects = False
            self.requester.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.requester.expect_body(self.services.clock.now())
        self.requester.adjust_reading()

    def _resumed(self, suspended: asyncio.Future[Answer | None]) -> None:
        """Go on once a stage knows what it wants."""
        if suspended is not self._suspended:
            # Nobody waits for it any more; an error is still one.
            if not suspended.cancelled() and (error := suspended.exception()) is not None:
                log.error("internal error in a stage, after it was given up", exc_info=error)
            return
        self._suspended = None
        try:
            answer = suspended.result()
            if answer is not None:
                self._answer_with(answer)
            else:
                self._proceed()
        except RequestRefused as refusal:
            self._answer_with(error_answer(refusal.outcome, refusal.reason))
        except (Exception, asyncio.CancelledError):
            log.exception("internal error in a stage, for %r", self.target)
            if self.state != OVER:
                self.refused_midway(Outcome.INTERNAL, ROUTER_FAILED)

    def _ready(self, pipeline: Pipeline) -> None:
        """All stages have had their say: send the request."""
        context, request = pipeline.context, self.request
        pool, block, peer = context.pool, request.block, context.peer
        if not block.outgoing:
            peer.complete(block, pool.name)
        self.request_id = context.request_id = block.request_id or self.services.request_ids.next()
        if pool.by_key:
            self.key = pool.request_key(peer, request.target, block)
        head, body = pipeline.outgoing()
        self.has_body = pipeline.has_body
        if block.upgrade:
            self._offer = offer_of(request.method, block, pool.upgrades)
            if self._offer is not None:
                head = head[:-4] + self._offer.lines + b"\r\n\r\n"
                self.keep_alive = False
        if pipeline.context.body is not None:
            self._expects = False
        self.begin(pool, head, self._filtered(pipeline, body), self.services.clock.now())

    def _filtered(self, pipeline: Pipeline, piece: bytes) -> bytes:
        """A piece of the request's body as it is sent."""
        if pipeline.body is None:
            return piece
        piece = pipeline.body.feed(piece)
        if self.whole:
            piece += pipeline.body.end(self.trailers or ())
        return piece

    # The request's body

    def more(self, piece: bytes) -> None:
        """Forward a further piece of the request's body; `whole` and `request_bytes` know of it already."""
        if self.state == SUSPENDED or self.state == COLLECTING:
            assert self._pipeline is not None
            self._pipeline.hold(piece)
            if self.state == COLLECTING:
                self._proceed()
            return
        if self._pipeline is not None:
            piece = self._filtered(self._pipeline, piece)
        connection = self.attempt.connection
        if self._unsent is not None:
            self._unsent += piece
        elif connection is not None and piece:
            connection.transport.write(piece)
        if self.whole and self._unsent is None:
            if not self.response_started:
                if self.state == SENDING:
                    self.enter(AWAITING)
                self._expect_response(self.services.clock.now())
            else:
                self.requester.deadline_s = self.must_end_s  # no more of the body is waited for
                if self.requester.write_paused:
                    self.pause_response()

    @property
    def takes_body(self) -> bool:
        """Whether more of the body may be read from the client now."""
        if self.state == COLLECTING:
            return True
        if self._unsent is not None or self.state < WAITING or self.state == OVER:
            return False
        connection = self.attempt.connection
        return connection is not None and not connection.write_paused

    def backend_paused(self, attempt: Attempt) -> None:  # noqa: ARG002
        """The backend takes the request more slowly than it comes, or has caught up."""
        self.requester.adjust_reading()

    # An attempt

    def wait_until(self, deadline_s: float) -> None:
        """Have `timed_out` called then."""
        self.requester.deadline_s = deadline_s

    def reach(self, attempt: Attempt, now_s: float) -> None:
        """Get to the attempt's backend, over a connection that is there or a new one."""
        connection = self.pool.connections.idle_connection(attempt.position)
        if connection is None:
            self._connect(attempt)
        else:
            self._carry_on(attempt, connection, now_s)

    def _connect(self, attempt: Attempt) -> None:
        if attempt is self.attempt:
            self.enter(CONNECTING)
        self.requester.deadline_s = self.must_end_s  # connecting has a timeout of its own
        self.pool.connections.connect(attempt)

    def _is_present(self, attempt: Attempt) -> bool:
        return self.state != OVER and (attempt is self.attempt or attempt is self._rival)

    def connected(self, attempt: Attempt, connection: Any) -> bool:
        """A connection is there; False when it is no longer needed."""
        if not self._is_present(attempt):
            return False
        attempt.connecting = None
        self._carry_on(attempt, connection, self.services.clock.now())
        return True

    def _carry_on(self, attempt: Attempt, connection: Link, now_s: float) -> None:
        connection.attempt = attempt
        attempt.connection = connection
        data = self._replay if self._unsent is None else self._unsent
        assert data is not None
        connection.transport.write(data)
        if attempt is self.attempt:
            self._unsent = None
        if self.whole:
            if attempt is self.attempt:
                self.enter(AWAITING)
            self._expect_response(now_s)
            if self.pool.hedging is not None:
                self._watch(attempt)
            return
        if self._awaits_continue:
            self.enter(AWAITING)
            self._expect_response(now_s)
        else:
            self.enter(SENDING)
            self.requester.expect_body(now_s)
        self.requester.adjust_reading()

    @property
    def _awaits_continue(self) -> bool:
        """Whether it is the backend's turn although there is no body yet: the client may wait for a 100."""
        return self._expects and not self.request_bytes

    def _expect_response(self, now_s: float) -> None:
        due_s = now_s + self.pool.attempt_s
        self.requester.deadline_s = due_s if due_s < self.must_end_s else self.must_end_s

    # Trouble with the backend

    def connect_failed(self, attempt: Attempt, outcome: Outcome) -> None:
        """No connection could be made: nothing was sent, so another backend may have the request."""
        if not self._is_present(attempt):
            return
        attempt.connecting = None
        now_s = self.services.clock.now()
        if self._rival is not None:
            self._concede(attempt, outcome, 0, now_s)
        elif self._may_retry(attempt, outcome):
            self._retry(attempt, outcome, 0, now_s)
        else:
            self.settle(attempt, outcome, status_of(outcome), now_s)
            self._answer(outcome, ROUTER_FAILED if outcome == Outcome.INTERNAL else _UNREACHABLE)

    def stale(self, attempt: Attempt) -> None:
        """An idle connection was closed under the request: the backend may not have seen it."""
        if not self._is_present(attempt):
            return
        if not self._repeatable:
            reason = "the backend closed the connection, and the request may not be sent twice"
            self.broken(attempt, Outcome.RESET, reason)
            return
        self.services.stale_retries += 1
        self._reconnect(attempt)

    def _reconnect(self, attempt: Attempt) -> None:
        """Send the request to the same backend, over a new connection."""
        attempt.connection = None
        if attempt is self.attempt:
            self._unsent = self._replay
        attempt.dispatched_s = self.services.clock.now()
        self._connect(attempt)

    def unseen(self, attempt: Attempt, again: bool) -> None:
        """The backend has said that it has not looked at the request."""
        if not self._is_present(attempt):
            return
        if self._replay is None:
            reason = "the backend refused the request, and not all of it is here to be sent again"
            self.broken(attempt, Outcome.RESET, reason)
        elif again:
            self._reconnect(attempt)
        else:
            attempt.connection = None
            self.connect_failed(attempt, Outcome.CONNECT_FAILED)

    def broken(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """The exchange with the backend failed."""
        if not self._is_present(attempt):
            return
        attempt.connection = None
        now_s = self.services.clock.now()
        if self._rival is not None:
            self._concede(attempt, outcome, 0, now_s)
            return
        if self._pending is not None:
            # Nothing of the response has been sent yet.
            self._pending = self._response_body = None
            self.response_started = self.content_only = False
        if self.response_started:
            self.settle(attempt, outcome, self._status, now_s)
            self._finish(outcome, self._status)
            self.requester.abort_exchange(self._until_close)
        elif self._may_retry(attempt, outcome):
            self._retry(attempt, outcome, 0, now_s)
        else:
            self.settle(attempt, outcome, status_of(outcome), now_s)
            self._answer(outcome, reason)

    # Another attempt

    @property
    def _repeatable(self) -> bool:
        """Whether the request may be sent again although a backend may have seen it (RFC 9110 section 9.2.2)."""
        return self._replay is not None and (self.method in IDEMPOTENT or self.pool.retries.non_idempotent)

    def _may_retry(self, attempt: Attempt, cause: int) -> bool:
        """Whether another backend may have the request after this attempt; nothing is left of it but its record.

        Args:
            attempt: that has failed.
            cause: how it ended: an `Outcome`, or the status of a response that was not relayed.
        """
        pool = self.pool
        retries = pool.retries
        if cause not in retries.causes:
            return False
        if self._rival is not None:
            return True  # which is under way already
        if len(self.tried) + 1 >= retries.max_attempts:
            return False
        sent = cause not in NOTHING_SENT
        if sent and not self._repeatable:
            return False
        return pool.has_room_besides((*self.tried, attempt.position)) and (
            not sent or retries.affordable(pool.under_way)
        )

    def _retry(self, attempt: Attempt, outcome: int, status: int, now_s: float) -> None:
        """End this attempt as `_may_retry` has allowed, and begin the next."""
        attempt.connection = None
        self.tried = (*self.tried, attempt.position)
        if self._unsent is None:
            self._unsent = self._replay
        self.settle(attempt, outcome, status, now_s)
        self.pool.retries.begin()
        self.next_attempt(now_s)

    def retried(self) -> None:
        """A further attempt is over."""
        self.pool.retries.active -= 1

    # A hedge: a second attempt beside the first, until one of them answers or fails

    def _watch(self, attempt: Attempt) -> None:
        """Have a hedge sent if the response takes too long, once for a request."""
        pool = self.pool
        hedging = pool.hedging
        assert hedging is not None
        if self._offer is not None or attempt.number > 1 or attempt.expected_s or not self._repeatable:
            return  # a tunnel must not be opened twice
        attempt.expected_s = hedging.expected_s(
            pool.selection.view, pool.selection.predicts, self.request_class, attempt.position, attempt.in_flight
        )
        if attempt.expected_s:
            attempt.timer = hedging.watch(self.hedge, attempt.expected_s)

    def hedge(self) -> None:
        """Ask another backend as well, where the request still waits for its first answer and the budgets allow it."""
        pool, first = self.pool, self.attempt
        hedging = pool.hedging
        assert hedging is not None
        if self.state != AWAITING or first.first_byte_s or first.number > 1 or first.connection is None:
            return
        tried = (*self.tried, first.position)
        if pool.waiting or not pool.has_room_besides(tried):
            return
        if not hedging.affordable(pool.retries.has_budget(pool.under_way)):
            return
        now_s = self.services.clock.now()
        position = pool.selection.choose(self.request_class, self.key, now_s, tried)
        if position < 0:
            return
        hedging.sent += 1
        hedging.active += 1
        pool.retries.active += 1
        self._rival = rival = new_attempt(self, 2, now_s)
        rival.position = position
        rival.in_flight = pool.selection.began(position)
        self.reach(rival, now_s)

    def _part(self, attempt: Attempt) -> Attempt:
        """Of two attempts only `attempt` goes on; returns the other."""
        rival = self._rival
        assert rival is not None
        other = self.attempt if attempt is rival else rival
        self.attempt = attempt
        self._rival = None
        hedging = self.pool.hedging
        assert hedging is not None
        hedging.active -= 1
        return other

    def _win(self, attempt: Attempt) -> None:
        """This one answers; the other is given up, and its backend's connection with it."""
        loser = self._part(attempt)
        hedging = self.pool.hedging
        assert hedging is not None
        if attempt.number > 1:
            hedging.won += 1
        self._give_up(loser)
        self.settle(loser, HEDGE_LOST, 0, self.services.clock.now())

    def _concede(self, attempt: Attempt, outcome: int, status: int, now_s: float) -> None:
        """This one has failed; the other goes on alone."""
        rival = self._rival
        assert rival is not None
        other = self.attempt if attempt is rival else rival
        self._part(other)
        attempt.connection = None
        self.tried = (*self.tried, attempt.position)
        if other.connection is not None:
            self.enter(AWAITING)
            self._expect_response(other.dispatched_s)
        else:
            self.enter(CONNECTING)
            self.requester.deadline_s = self.must_end_s
        self.settle(attempt, outcome, status, now_s)

    def _give_up(self, attempt: Attempt) -> None:
        """Leave the backend of an attempt."""
        connection = attempt.connection
        attempt.connection = None
        if connection is not None:
            connection.give_up()
        elif attempt.connecting is not None:
            self.pool.connections.abandon(attempt)

    # The response

    def interim(self, attempt: Attempt, head: bytes) -> None:  # noqa: ARG002
        """Pass on a 1xx response."""
        if self._awaits_continue:
            self._expects = False
            if self.state == AWAITING and not self.whole:
                self.enter(SENDING)
            self.requester.expect_body(self.services.clock.now())
        if not self.http10 and self._rival is None:  # of two backends, one will have answered in the end
            self.requester.transport.write(head + b"\r\n")

    def discards(self, attempt: Attempt, status: int) -> bool:
        """Whether a response with this status is dropped, because another attempt follows."""
        return self._may_retry(attempt, status)

    def discarded(self, attempt: Attempt, status: int, now_s: float) -> None:
        """The response has been dropped: begin the next attempt."""
        if self._rival is not None:
            self._concede(attempt, COMPLETE, status, now_s)
        else:
            self._retry(attempt, COMPLETE, status, now_s)

    def responds(self, attempt: Attempt, response: Response) -> None:
        """Make the head to send to the client."""
        if self._rival is not None:
            self._win(attempt)
        raw = response.head
        length = response.length
        requester = self.requester
        http10 = self.http10
        self.content_only = http10
        if self._pipeline is not None and self._pipeline.sees_response:
            head = new_response_head(raw, response.status, length)
            self._response_body = self._pipeline.responds(head, http10)
            self.content_only = http10 or self._response_body is not None
            raw, length = head.raw, head.length
        if self.pool.binds:
            raw += self.pool.selection.response_line(self.key, attempt.position)
        # Only now: where a stage fails, nothing of the response has been sent.
        self.response_started = True
        self._status = response.status
        self._until_close = length == UNTIL_CLOSE or (length == CHUNKED and http10)
        requester.deadline_s = self.must_end_s
        if requester.write_paused:
            self.pause_response()  # by interim responses, perhaps those of an attempt before
        if http10 and (length == CHUNKED or self.method == b"HEAD"):
            raw = without_header(raw, b"transfer-encoding")
        if self._until_close or not self.whole or self.services.draining:
            self.keep_alive = False
        if attempt.number > 1 and self.pool.settings.retries.attempts_header:
            raw += b"smartlb-attempts: %d\r\n" % attempt.number
        self.enter(RELAYING)
        if not self.keep_alive:
            self._pending = raw + b"connection: close\r\n\r\n"
        elif http10:
            self._pending = raw + b"connection: keep-alive\r\n\r\n"
        else:
            self._pending = raw + b"\r\n"

    def relay(self, attempt: Attempt, data: bytes, start: int, end: int, received: int) -> None:  # noqa: ARG002
        """Send the client a piece of the body, the first one with the head."""
        self.response_bytes += received
        head = self._pending
        if self._response_body is not None:
            data = self._response_body.feed(data[start:end])
            start = 0
            end = len(data)
        if head is not None:
            self._pending = None
            if end - start >= _COPY_BELOW:
                self.requester.transport.writelines((head, memoryview(data)[start:end]))
            else:
                self.requester.transport.write(joined(head, data, start, end))
        elif end > start:
            if start == 0 and end == len(data):
                self.requester.transport.write(data)
            else:
                self.requester.transport.write(memoryview(data)[start:end])

    def complete(self, attempt: Attempt, now_s: float) -> None:
        """The whole response has been relayed."""
        attempt.connection = None  # it is for others now, whatever the next write does to this client
        if self._response_body is not None:
            try:
                self.requester.transport.write(self._response_body.end(attempt.trailers))
            except Exception:
                log.exception("internal error in a stage, for %r", self.target)
                self.broken(attempt, Outcome.INTERNAL, ROUTER_FAILED)
                return
        status = attempt.failed_as or self._status
        self.settle(attempt, COMPLETE, status, now_s)
        self._finish(COMPLETE, self._status)
        self.requester.exchange_over(self.keep_alive and self.whole, now_s)

    def pause_response(self) -> None:
        """The client reads too slowly: read no more from the backend."""
        if self.state < WAITING or self.state == OVER:
            return
        connection = self.attempt.connection
        if connection is not None:
            connection.pause_reading()
        if self.must_end_s == inf and self.response_started:
            # A response without an end is still not kept for someone who has stopped reading it.
            self.requester.deadline_s = self.services.clock.now() + self.services.idle_s

    def resume_response(self) -> None:
        """The client has caught up."""
        if self.state < WAITING or self.state == OVER:
            return
        connection = self.attempt.connection
        if connection is not None:
            connection.resume_reading()
        if self.must_end_s == inf and self.response_started:
            self.requester.deadline_s = inf

    # A tunnel

    def switches(self, attempt: Attempt, raw: bytes, data: bytes) -> None:
        """Open the tunnel, if the 101 in `raw` is the answer to the client's offer; `data` came after it.

        What a client sends after its request and before the answer is held back: where the backend refuses, nobody can
        tell whether it is a request or something of the other protocol that another party had the client send, so it
        is never read as a request.
        """
        if self._offer is None:
            raise MalformedResponse("it is a 101, which was not asked for")
        head = self._offer.accepted(raw)
        if self._pipeline is not None and self._pipeline.sees_response:
            staged = new_response_head(head, SWITCHING_PROTOCOLS, 0)
            self._pipeline.responds(staged, self.http10)
            head = staged.raw
        if self.pool.binds:
            head += self.pool.selection.response_line(self.key, attempt.position)
        self.response_started = True
        self._status = SWITCHING_PROTOCOLS
        connection = attempt.connection
        assert connection is not None
        connection.attempt = None
        attempt.connection = None
        # When the answer comes; of a tunnel's end a policy could learn nothing.
        self.observe(attempt, attempt.position, COMPLETE, SWITCHING_PROTOCOLS, self.services.clock.now())
        self.observed = True
        if attempt.number > 1:
            # However long the tunnel lasts, its place in the budget of retries is free.
            self.pool.retries.active -= 1
        self.enter(TUNNEL)
        self._tunnel = tunnel = Tunnel(self)
        tunnel.open(connection, self.requester, head + b"\r\n", data)

    def tunnel_alive(self, half_closed: bool) -> None:
        """Something has come through the tunnel, or one end has closed."""
        limit_s = self.pool.settings.timeouts.tunnel_idle_s
        if half_closed:
            # An end that is left alone has as long as a client between two requests.
            limit_s = min(limit_s, self.services.idle_s)
        self.requester.deadline_s = self.services.clock.now() + limit_s

    def tunnel_over(self, outcome: Outcome, request_bytes: int, response_bytes: int, exc: Exception | None) -> None:
        """Both ends are gone."""
        self.request_bytes = request_bytes
        self.response_bytes = response_bytes
        if self.attempt.number > 1:
            self.pool.retries.active += 1  # which the end of every further attempt takes off
        self.settle(self.attempt, outcome, self._status, self.services.clock.now())
        self._finish(outcome, self._status)
        self.requester.tunnel_over(exc)

    # The end

    def client_gone(self) -> None:
        """The client closed its connection: give up on the backend, and do not hold it against it."""
        self._abandon(Outcome.CLIENT_GONE, self._status)

    def refused_midway(self, outcome: Outcome, reason: str) -> None:
        """The client broke the protocol or a limit while it sent the body."""
        started = self.response_started
        self._abandon(outcome, self._status if started else status_of(outcome))
        if started:
            self.requester.abort_exchange(True)
        else:
            self.requester.answer(outcome, reason, False, self.method != b"HEAD")

    def timed_out(self, now_s: float) -> None:
        """The time of the present state is over."""
        state = self.state
        if state == TUNNEL:
            assert self._tunnel is not None
            self._tunnel.timed_out()
            return
        if state == SUSPENDED:
            self._stop_waiting_for_stages()
            reason = "what this route asks before it goes on has not answered in time"
            self._answer_with(error_answer(Outcome.REQUEST_TIMEOUT, reason))
            return
        if state == COLLECTING or self.requester.write_paused:
            self.refused_midway(Outcome.CLIENT_TIMEOUT, "the request's body did not come in time")
            return
        pool = self.pool
        if state == WAITING:
            wait_s = pool.settings.queue.timeout_s
            self.refuse(Outcome.QUEUE_TIMEOUT, f"waited {wait_s:g} s for a backend of pool {pool.name}")
            return
        late = now_s >= self.must_end_s
        body_due = not (self.whole or self._awaits_continue)
        if body_due and self.takes_body:
            self.refused_midway(Outcome.CLIENT_TIMEOUT, "the request's body did not come in time")
        elif body_due and not late and self.must_end_s < inf:
            # The backend is slow to take the body, for which it has as long as for all of the request.
            self.requester.deadline_s = self.must_end_s
        elif not late and self._has_more_time():
            self.attempt.patient = True
            more_s = pool.settings.timeouts.response_header_s - pool.attempt_s
            self.requester.deadline_s = min(self.must_end_s, self.requester.deadline_s + more_s)
        else:
            self._too_late(late)

    def _too_late(self, late: bool) -> None:
        """The backend has had its time: for all of the request where `late`, else for this attempt."""
        pool, attempt = self.pool, self.attempt
        if late:
            outcome = Outcome.REQUEST_TIMEOUT
            reason = f"no complete response within {pool.request_s:g} s"
            if self._rival is not None:
                rival = self._part(attempt)
                self._give_up(rival)
                self.settle(rival, HEDGE_LOST, 0, self.services.clock.now())
        else:
            outcome = Outcome.RESPONSE_TIMEOUT
            reason = f"no response within {pool.settings.timeouts.response_header_s:g} s"
        if attempt.connection is not None:
            attempt.connection.give_up()
        self.broken(attempt, outcome, reason)

    def _has_more_time(self) -> bool:
        """Whether an attempt that took `attempt_timeout_s` goes on, as no other one may follow it."""
        hurried = self.pool.attempt_s < self.pool.settings.timeouts.response_header_s and not self.attempt.patient
        return hurried and not self._may_retry(self.attempt, Outcome.RESPONSE_TIMEOUT)

    def _abandon(self, outcome: Outcome, status: int) -> None:
        if self.state == OVER:
            return
        if self.state == TUNNEL:
            return  # its ends hear for themselves
        now_s = self.services.clock.now()
        if self.state < WAITING:
            self._stop_waiting_for_stages()
            self._record_alone(outcome, status, now_s)
            self._finish(outcome, status)
            return
        if self._rival is not None:
            rival = self._part(self.attempt)
            self._give_up(rival)
            self.settle(rival, outcome, 0, now_s)
        self.leave_queue()
        self._give_up(self.attempt)
        self.settle(self.attempt, outcome, status, now_s)
        self._finish(outcome, status)

    def _stop_waiting_for_stages(self) -> None:
        suspended, self._suspended = self._suspended, None
        if suspended is not None:
            suspended.cancel()

    def refuse(self, outcome: Outcome, reason: str) -> None:
        """Answer a request that has no backend."""
        self.leave_queue()
        self.settle(self.attempt, outcome, status_of(outcome), self.services.clock.now())
        self._answer(outcome, reason)

    def _answer(self, outcome: Outcome, reason: str) -> None:
        self._finish(outcome, status_of(outcome))
        keep_alive = self.keep_alive and self.whole and not self.http10
        self.requester.answer(outcome, reason, keep_alive, self.method != b"HEAD")

    def _answer_with(self, answer: Answer) -> None:
        """Answer as a stage says. What is left of the body is not read: the connection closes then."""
        self._record_alone(answer.outcome, answer.status, self.services.clock.now())
        self._finish(answer.outcome, answer.status)
        keep_alive = self.keep_alive and self.whole and not self.http10
        self.requester.answer_with(answer.head, b"" if self.method == b"HEAD" else answer.body, keep_alive)

    def _record_alone(self, outcome: int, status: int, now_s: float) -> None:
        """Record a request that came to no pool."""
        record = self.services.record
        record.clear(self.arrived_s)
        record.total_s = now_s - self.arrived_s
        record.request_bytes = self.request_bytes
        record.route = self.route
        record.request_class = self.request_class
        record.status = status
        record.outcome = outcome
        self.services.write(self)

    def _finish(self, outcome: int, status: int) -> None:
        """Nothing follows any more."""
        self.enter(OVER)
        # Each holds the other, and what nothing else holds should go at once.
        self.attempt = _NONE
        if self._pipeline is not None:
            self._pipeline.done(outcome, status)


def new_exchange(
    services: Services, requester: Requester, request: Request, route: int, request_class: int, arrived_s: float
) -> HttpExchange:
    """Make the exchange of a request; a call of the class would make Python objects of the numbers.

    Args:
        services: of the worker.
        requester: who gets the response.
        request: its head.
        route: number of its route.
        request_class: its number.
        arrived_s: when the head was complete; monotonic.
    """
    exchange = HttpExchange.__new__(HttpExchange)
    exchange.prepare(services, route)
    block = request.block
    exchange.requester = requester
    exchange.request = request
    exchange.method = request.method
    exchange.target = request.target
    exchange.request_class = request_class
    exchange.arrived_s = arrived_s
    exchange.http10 = block.http10
    exchange.keep_alive = block.keep_alive
    exchange.has_body = block.length != 0
    exchange.whole = not exchange.has_body
    exchange._expects = block.expects
    return exchange
