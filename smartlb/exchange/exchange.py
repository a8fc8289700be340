"""One request and its response, from the arrival of the request to its telemetry record."""

import asyncio
from copy import copy
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from smartlb.core.outcome import COMPLETE, FIRST_BACKEND_FAULT, Outcome, failed
from smartlb.core.record import NO_BACKEND
from smartlb.upstream.pool import ALL_FULL, NOBODY, Pool
from smartlb.upstream.retries import NOTHING_SENT
from smartlb.wire.answers import ROUTER_FAILED, status_of
from smartlb.wire.http1 import CHUNKED, IDEMPOTENT, UNTIL_CLOSE, HeaderBlock, MalformedResponse, without_header
from smartlb.wire.proxy_protocol import Endpoints

if TYPE_CHECKING:
    from smartlb.ports.requester import Requester
    from smartlb.stages.compression import Encoder
    from smartlb.upstream.http1 import BackendConnection

_NEVER = float("nan")
_UNREACHABLE = "the backend cannot be reached"


class Exchange:
    """Carries one request to a backend and its response back.

    Attributes:
        client: the connection the request came on, or what stands in for it.
        pool: where it goes.
        method, target, http10: of the request.
        route: its number.
        request_class: its number.
        request_id: as forwarded.
        request_complete: whether the whole request has been received.
        request_bytes: of the body, received so far.
        response_started: whether a part of the final response has been sent to the client.
        response_bytes: of the body, received so far.
        arrived_s: when the head was complete; monotonic, like all times here.
        first_byte_s: when the response began; 0 before.
        deadline_s: when the whole exchange must be over.
        keep_alive: whether the client's connection stays open afterwards.
        failed_as: the status that a failure counts as which the response's own status does not show; 0 for none.
        may_copy: whether the request may go to another backend beside this one, as a hedge or to a mirror.
        encoder: compresses the body of the response, where that is done.
    """

    may_copy: ClassVar[bool] = True
    encoder: "Encoder | None" = None

    __slots__ = (
        "_attempt",
        "_connecting",
        "_connection",
        "_dispatched_s",
        "_expected_s",
        "_expects",
        "_hedge_timer",
        "_in_flight",
        "_key",
        "_over",
        "_patient",
        "_position",
        "_replay",
        "_rival",
        "_status",
        "_tried",
        "_unsent",
        "_until_close",
        "arrived_s",
        "client",
        "deadline_s",
        "failed_as",
        "first_byte_s",
        "http10",
        "keep_alive",
        "method",
        "pool",
        "request_bytes",
        "request_class",
        "request_complete",
        "request_id",
        "response_bytes",
        "response_started",
        "route",
        "target",
    )

    def __init__(
        self,
        client: "Requester",
        pool: Pool,
        method: bytes,
        target: bytes,
        block: HeaderBlock,
        route: int,
        request_class: int,
        request_id: bytes,
        key: int,
        arrived_s: float,
    ) -> None:
        self.client = client
        self.pool = pool
        self.method = method
        self.target = target
        self.http10 = block.http10
        self.route = route
        self.request_class = request_class
        self.request_id = request_id
        self._key = key
        self.arrived_s = self._dispatched_s = arrived_s
        self.deadline_s = arrived_s + pool.request_s
        self.keep_alive = block.keep_alive
        self._expects = block.expects
        self.request_complete = False
        self.request_bytes = 0
        self.response_started = False
        self.response_bytes = 0
        self.first_byte_s = 0.0
        self._status = self.failed_as = 0
        self._attempt = 1
        self._position = NOBODY
        self._in_flight = 0
        self._tried: tuple[int, ...] = ()
        self._connection: BackendConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._unsent: bytes | None = None
        self._replay: bytes | None = None
        self._over = self._until_close = False
        self._patient = False
        self._rival: Exchange | None = None
        self._expected_s = 0.0
        self._hedge_timer: asyncio.TimerHandle | None = None

    # The request

    def start(self, data: bytes) -> None:
        """Dispatch the request; `data` is its head and what has come of its body."""
        if self.request_complete:
            self._replay = data
        self._unsent = data
        self._dispatch(self.arrived_s)

    def _dispatch(self, now_s: float) -> None:
        """Pick a backend and send, or wait for one, or refuse."""
        pool = self.pool
        if pool.waiting and pool.waiting.goes_first:
            position = ALL_FULL
        else:
            position = pool.choose(self.request_class, self._key, now_s, self._tried)
        if position != ALL_FULL:
            self._send_to(position, now_s)
        elif pool.waiting.put(self):
            self.client.deadline_s = min(self.deadline_s, now_s + self.pool.settings.queue.timeout_s)
        else:
            self._refuse(Outcome.QUEUE_FULL, f"all backends of pool {self.pool.name} are busy, and its queue is full")

    def send(self, data: bytes) -> None:
        """Forward a further piece of the request's body."""
        if self._unsent is not None:
            self._unsent += data
        elif self._connection is not None:
            self._connection.transport.write(data)
        if self.request_complete and self._unsent is None:
            if not self.response_started:
                self._expect_response(monotonic())
            else:
                self.client.deadline_s = self.deadline_s  # no more of the body is waited for
                if self.client.write_paused:
                    self.pause_response()

    @property
    def priority(self) -> int:
        """Of its route, in the pool's queue."""
        return self.client.worker.route_priorities[self.route]

    @property
    def tried(self) -> tuple[int, ...]:
        """Positions of backends that it will not go to again."""
        return self._tried

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header."""
        return self.client.endpoints

    @property
    def takes_body(self) -> bool:
        """Whether more of the body may be read from the client now."""
        return self._unsent is None and self._connection is not None and not self._connection.write_paused

    def dispatch_from_queue(self) -> bool:
        """Try again now that there may be room; False when there is none yet."""
        if self._over:
            return True
        now_s = monotonic()
        position = self.pool.choose(self.request_class, self._key, now_s, self._tried)
        if position == ALL_FULL:
            return False
        self._send_to(position, now_s)
        return True

    def displaced(self) -> None:
        """Another request has taken the place in the queue."""
        self._refuse(Outcome.QUEUE_FULL, f"the queue of pool {self.pool.name} is full of requests of higher priority")

    def _send_to(self, position: int, now_s: float) -> None:
        pool = self.pool
        if position == NOBODY:
            self._refuse(Outcome.NO_BACKEND, f"pool {pool.name} has no healthy backend")
            return
        self._position = position
        self._dispatched_s = now_s
        self._in_flight = pool.began(position)
        connection = pool.idle_connection(position)
        if connection is None:
            self._connect()
        else:
            self._carry_on(connection, now_s)

    def _connect(self) -> None:
        self.client.deadline_s = self.deadline_s  # connecting has a timeout of its own
        self._connecting = self.pool.connect(self._position, self)

    def connected(self, connection: "BackendConnection") -> bool:
        """A connection is there; False when it is no longer needed."""
        if self._over:
            return False
        self._carry_on(connection, monotonic())
        return True

    def _carry_on(self, connection: "BackendConnection", now_s: float) -> None:
        connection.exchange = self
        self._connection = connection
        if self._unsent is not None:
            connection.transport.write(self._unsent)
            self._unsent = None
        if self.request_complete:
            self._expect_response(now_s)
            if self.pool.hedging is not None:
                self._watch()
        else:
            if self._awaits_continue:
                self._expect_response(now_s)
            else:
                self.client.expect_body(now_s)
            self.client.adjust_reading()

    @property
    def _awaits_continue(self) -> bool:
        """Whether it is the backend's turn although there is no body yet: the client may wait for a 100."""
        return self._expects and not self.request_bytes

    def _expect_response(self, now_s: float) -> None:
        due_s = now_s + self.pool.attempt_s
        self.client.deadline_s = due_s if due_s < self.deadline_s else self.deadline_s

    # Trouble with the backend

    def connect_failed(self, outcome: Outcome) -> None:
        """No connection could be made: nothing was sent, so another backend may have the request."""
        if self._over:
            return
        now_s = monotonic()
        if self._rival is not None:
            self._concede(self._rival, outcome, 0, now_s)
            return
        if self.may_retry(outcome):
            self.retry(outcome, 0, now_s)
            return
        self._settle(outcome, status_of(outcome), now_s)
        self._answer(outcome, ROUTER_FAILED if outcome == Outcome.INTERNAL else _UNREACHABLE)

    def stale(self) -> None:
        """An idle connection was closed under the request: the backend may not have seen it."""
        self._connection = None
        if not self._repeatable:
            self.broken(Outcome.RESET, "the backend closed the connection, and the request may not be sent twice")
            return
        self.client.worker.stale_retries += 1
        self._reconnect()

    def _reconnect(self) -> None:
        """Send the request to the same backend, over a new connection."""
        self._connection = None
        self._unsent = self._replay
        self._dispatched_s = monotonic()
        self._connect()

    def unseen(self, *, again: bool) -> None:
        """The backend has said that it has not looked at the request.

        Args:
            again: whether another connection to it may help.
        """
        if self._replay is None:
            self.broken(Outcome.RESET, "the backend refused the request, and not all of it is here to be sent again")
        elif again:
            self._reconnect()
        else:
            self._connection = None
            self.connect_failed(Outcome.CONNECT_FAILED)

    def broken(self, outcome: Outcome, reason: str) -> None:
        """The exchange with the backend failed."""
        if self._over:
            return
        self._connection = None
        if self._rival is not None:
            self._concede(self._rival, outcome, 0, monotonic())
            return
        if not self.response_started and self.may_retry(outcome):
            self.retry(outcome, 0, monotonic())
            return
        self._settle(outcome, self._status if self.response_started else status_of(outcome), monotonic())
        if self.response_started:
            self._over = True
            self.client.abort_exchange(at_once=self._until_close)
        else:
            self._answer(outcome, reason)

    # Another attempt

    @property
    def _repeatable(self) -> bool:
        """Whether the request may be sent again although a backend may have seen it (RFC 9110 section 9.2.2)."""
        return self._replay is not None and (self.method in IDEMPOTENT or self.pool.retries.non_idempotent)

    def may_retry(self, cause: int) -> bool:
        """Whether another backend may have the request after this attempt; nothing is left of it but its record.

        Args:
            cause: how the attempt ended: an `Outcome`, or the status of a response that was not relayed.
        """
        pool, retries = self.pool, self.pool.retries
        if cause not in retries.causes:
            return False
        if self._rival is not None:
            return True  # which is under way already
        if len(self._tried) + 1 >= retries.max_attempts:
            return False
        sent = cause not in NOTHING_SENT
        if sent and not self._repeatable:
            return False
        return pool.has_room_besides((*self._tried, self._position)) and (
            not sent or retries.affordable(pool.under_way)
        )

    def retry(self, outcome: int, status: int, now_s: float) -> None:
        """End this attempt as `may_retry` has allowed, and begin the next.

        Args:
            outcome: of this attempt.
            status: of the response that is not relayed, or 0.
            now_s: monotonic time.
        """
        if self._rival is not None:
            self._concede(self._rival, outcome, status, now_s)
            return
        self._connection = None
        self._tried = (*self._tried, self._position)
        if self._unsent is None:
            self._unsent = self._replay
        self._settle(outcome, status, now_s)
        self._dispatched_s = now_s
        self._in_flight = self.failed_as = 0
        self.first_byte_s = 0.0
        self._patient = False
        self._attempt = len(self._tried) + 1
        self.pool.retries.begin()
        # Chosen only now: the place just given free may have let a waiting request in.
        self._dispatch(now_s)

    # A hedge: two exchanges for one request, each the other's rival, until one of them answers or fails

    def _watch(self) -> None:
        """Have a hedge sent if the response takes too long, once for a request."""
        hedging = self.pool.hedging
        if hedging is None or not self.may_copy or self._attempt > 1 or self._expected_s or not self._repeatable:
            return
        pool = self.pool
        self._expected_s = expected_s = hedging.expected_s(
            pool.view, pool.predicts, self.request_class, self._position, self._in_flight
        )
        if expected_s:
            self._hedge_timer = hedging.watch(self, expected_s)

    def hedge(self) -> None:
        """Ask another backend as well, where the request still waits for its first answer and the budgets allow it."""
        pool, hedging = self.pool, self.pool.hedging
        if self._over or self.first_byte_s or self._attempt > 1 or self._connection is None or hedging is None:
            return
        if pool.waiting or not pool.has_room_besides((*self._tried, self._position)):
            return
        if not hedging.affordable(pool.retries.has_budget(pool.under_way)):
            return
        now_s = monotonic()
        position = pool.choose(self.request_class, self._key, now_s, (*self._tried, self._position))
        if position < 0:
            return
        hedging.sent += 1
        hedging.active += 1
        pool.retries.active += 1
        rival = copy(self)
        rival._connection = None
        rival._unsent = self._replay
        rival._attempt = 2
        rival._expected_s = 0.0
        rival._hedge_timer = None
        rival._patient = False
        rival._rival, self._rival = self, rival
        rival._send_to(position, now_s)

    def _part(self, rival: "Exchange") -> None:
        self._rival = rival._rival = None
        if self.pool.hedging is not None:
            self.pool.hedging.active -= 1

    def _win(self, rival: "Exchange") -> None:
        """This one answers; the other is given up, and its backend's connection with it."""
        self._part(rival)
        client = self.client
        client.carried_by(self)
        if not self._expected_s and self.pool.hedging is not None:
            self.pool.hedging.won += 1
        rival._abandon(Outcome.HEDGE_LOST, 0)

    def _concede(self, rival: "Exchange", outcome: int, status: int, now_s: float) -> None:
        """This one has failed; the other goes on alone."""
        self._part(rival)
        self._connection = None
        self._over = True
        rival._tried = (*rival._tried, self._position)
        self.client.carried_by(rival)
        if rival._connection is not None:
            rival._expect_response(rival._dispatched_s)
        else:
            self.client.deadline_s = self.deadline_s
        self._settle(outcome, status, now_s)

    # The response

    def interim(self, head: bytes) -> None:
        """Pass on a 1xx response."""
        if self._awaits_continue:
            self._expects = False
            self.client.expect_body(monotonic())
        if not self.http10 and self._rival is None:  # of two backends, one will have answered in the end
            self.client.transport.write(head + b"\r\n")

    def switch(self, connection: "BackendConnection", raw: bytes, data: bytes) -> None:  # noqa: ARG002
        """The backend has sent a 101, which an ordinary exchange has not asked for."""
        raise MalformedResponse("it is a 101, which was not asked for")

    def start_response(self, raw: bytes, status: int, length: int) -> bytes:
        """The head to send to the client, for a response as `read_response` gives it."""
        if self._rival is not None:
            self._win(self._rival)
        self.response_started = True
        self._status = status
        self._until_close = length == UNTIL_CLOSE or (length == CHUNKED and self.http10)
        self.client.deadline_s = self.deadline_s
        if self.client.write_paused:
            self.pause_response()  # by interim responses, perhaps those of an attempt before
        http10 = self.http10
        if http10 and (length == CHUNKED or self.method == b"HEAD"):
            raw = without_header(raw, b"transfer-encoding")
        if self._until_close or not self.request_complete or self.client.worker.draining:
            self.keep_alive = False
        if self._attempt > 1 and self.pool.settings.retries.attempts_header:
            raw += b"smartlb-attempts: %d\r\n" % self._attempt
        if not self.keep_alive:
            return raw + b"connection: close\r\n\r\n"
        return raw + (b"connection: keep-alive\r\n\r\n" if http10 else b"\r\n")

    def response_complete(self, now_s: float) -> None:
        """The whole response has been relayed."""
        self._connection = None
        self._settle(COMPLETE, self.failed_as or self._status, now_s)
        self._over = True
        self.client.exchange_over(self.keep_alive and self.request_complete, now_s)

    def pause_response(self) -> None:
        """The client reads too slowly: read no more from the backend."""
        if self._connection is not None:
            self._connection.transport.pause_reading()
        if self.deadline_s == inf and self.response_started:
            # A response without an end is still not kept for someone who has stopped reading it.
            self.client.deadline_s = monotonic() + self.client.worker.idle_s

    def resume_response(self) -> None:
        """The client has caught up."""
        if self._connection is not None:
            self._connection.transport.resume_reading()
        if self.deadline_s == inf and self.response_started:
            self.client.deadline_s = inf

    # The end

    def client_gone(self) -> None:
        """The client closed its connection: give up on the backend, and do not hold it against it."""
        self._abandon(Outcome.CLIENT_GONE, self._status)

    def refused_midway(self, outcome: Outcome, reason: str) -> None:
        """The client broke the protocol or a limit while it sent the body."""
        started = self.response_started
        self._abandon(outcome, self._status if started else status_of(outcome))
        if started:
            self.client.abort_exchange(at_once=True)
        else:
            self.client.answer(outcome, reason, keep_alive=False)

    def timed_out(self, now_s: float) -> None:
        """The deadline of the present phase has passed."""
        timeouts = self.pool.settings.timeouts
        late = now_s >= self.deadline_s
        if self._position == NOBODY:
            wait_s = self.pool.settings.queue.timeout_s
            self._refuse(Outcome.QUEUE_TIMEOUT, f"waited {wait_s:g} s for a backend of pool {self.pool.name}")
        elif self.client.write_paused or (self.takes_body and not (self.request_complete or self._awaits_continue)):
            self.refused_midway(Outcome.CLIENT_TIMEOUT, "the request's body did not come in time")
        elif not (late or self.request_complete or self._awaits_continue) and self.deadline_s < inf:
            # The backend is slow to take the body, for which it has as long as for all of the request.
            self.client.deadline_s = self.deadline_s
        elif not late and self._has_more_time():
            self._patient = True
            more_s = timeouts.response_header_s - self.pool.attempt_s
            self.client.deadline_s = min(self.deadline_s, self.client.deadline_s + more_s)
        else:
            outcome = Outcome.REQUEST_TIMEOUT if late else Outcome.RESPONSE_TIMEOUT
            if late and self._rival is not None:
                rival = self._rival
                self._part(rival)
                rival._abandon(Outcome.HEDGE_LOST, 0)
            reason = (
                f"no complete response within {self.pool.request_s:g} s"
                if late
                else f"no response within {timeouts.response_header_s:g} s"
            )
            connection = self._connection
            if connection is not None:
                connection.exchange = None
                connection.transport.abort()
            self.broken(outcome, reason)

    def _has_more_time(self) -> bool:
        """Whether an attempt that took `attempt_timeout_s` goes on, as no other one may follow it."""
        hurried = self.pool.attempt_s < self.pool.settings.timeouts.response_header_s and not self._patient
        return hurried and not self.may_retry(Outcome.RESPONSE_TIMEOUT)

    def _abandon(self, outcome: Outcome, status: int) -> None:
        if self._over:
            return
        rival = self._rival
        if rival is not None:
            self._part(rival)
            rival._abandon(outcome, 0)
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.exchange = None
            connection.transport.abort()
        elif self in self.pool.waiting:
            self.pool.waiting.remove(self)
        elif self._connecting is not None:
            self.pool.abandon(self._connecting)
        self._settle(outcome, status, monotonic())
        self._over = True

    def _refuse(self, outcome: Outcome, reason: str) -> None:
        """Answer a request that has no backend."""
        if self in self.pool.waiting:
            self.pool.waiting.remove(self)
        self._settle(outcome, status_of(outcome), monotonic())
        self._answer(outcome, reason)

    def _answer(self, outcome: Outcome, reason: str) -> None:
        self._over = True
        keep_alive = self.keep_alive and self.request_complete and not self.http10
        self.client.answer(outcome, reason, keep_alive=keep_alive, body=self.method != b"HEAD")

    def _settle(self, outcome: int, status: int, now_s: float) -> None:
        """Record one attempt, and give the backend's place free."""
        pool, position, dispatched_s = self.pool, self._position, self._dispatched_s
        first_byte_s = self.first_byte_s
        fields = (
            self.arrived_s,
            dispatched_s - self.arrived_s,
            first_byte_s - dispatched_s if first_byte_s else _NEVER,
            now_s - dispatched_s,
            self._in_flight,
            self.request_bytes,
            self.response_bytes,
            pool.first + position if position >= 0 else NO_BACKEND,
            self.route,
            self.request_class,
            status,
            outcome,
            self._attempt,
        )
        worker = self.client.worker
        worker.write_record(fields)
        if worker.logs:
            worker.log(self, fields)
        if self._attempt > 1:
            pool.retries.active -= 1
        if position < 0:
            return
        self._position = NOBODY
        if self._hedge_timer is not None:
            self._hedge_timer.cancel()  # which would hold the whole request until its time comes
        overtaken = False
        if self._expected_s and pool.hedging is not None and self._attempt == 1:
            overtaken = outcome == Outcome.HEDGE_LOST
            if outcome == COMPLETE or overtaken:
                pool.hedging.measured(((first_byte_s or now_s) - dispatched_s) / self._expected_s)
        # An attempt that was overtaken took at least that long; of a hedge that lost, this says nothing.
        if pool.observe is not None and (outcome == COMPLETE or outcome >= FIRST_BACKEND_FAULT or overtaken):
            self.observe(position, outcome, status, now_s)
        pool.ended(position)

    def observe(self, position: int, outcome: int, status: int, now_s: float) -> None:
        """Tell a policy that measures how an attempt went."""
        pool = self.pool
        if pool.observe is not None:
            latency_s = (self.first_byte_s or now_s) - self._dispatched_s
            pool.observe(pool.memory, position, now_s, latency_s, failed(outcome, status))
