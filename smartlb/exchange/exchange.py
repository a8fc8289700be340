# cython: annotation_typing=False
"""What a request, a TCP connection and a UDP session have in common: a backend, and a record for each attempt.

An exchange has one attempt at a time, or two while a hedge is under way. It gets a backend by its pool's policy, counts
as one request in flight, may wait for room, and may be tried at another backend. Subclasses move the bytes.
"""

from array import array
from math import inf
from typing import Final

from smartlb.core.outcome import COMPLETE, FIRST_BACKEND_FAULT, HEDGE_LOST, Outcome, failed
from smartlb.core.record import NO_BACKEND
from smartlb.exchange.states import CONNECTING, NAMES, OVER, TRANSITIONS, WAITING
from smartlb.ports.services import Services
from smartlb.ports.upstream import Attempt, ResponseSink, new_attempt
from smartlb.upstream.pool import Pool
from smartlb.upstream.selection import ALL_FULL, NOBODY

_NEVER: Final = float("nan")
_FOLLOWING: Final = array("I", [sum(1 << after for after in TRANSITIONS[state]) for state in sorted(TRANSITIONS)])
"""`TRANSITIONS` as bits, for one look per step."""


class Exchange(ResponseSink):
    """Carries what a client sends to a backend, and back.

    Subclasses set `pool` and `attempt` before they call `dispatch`.

    Args:
        services: of the worker.
        route: its number.

    Attributes:
        services, route: the arguments.
        pool: where it goes.
        state: see `smartlb.exchange.states`.
        request_class: its number; 0 where there are none.
        key: what the pool's policy or affinity goes by.
        arrived_s: when it began; monotonic, like all times here.
        must_end_s: when all of it must be over.
        attempt: the present one; of two the first.
        tried: positions of backends that it will not go to again.
        request_bytes: from the client, of the body.
        response_bytes: from the backend, likewise.
        observed: whether the policy has heard of the present attempt already.
        target: what is asked for, for the access log.
        request_id: as forwarded.
    """

    services: Services
    pool: Pool
    attempt: Attempt
    route: int
    state: int
    request_class: int
    key: int
    arrived_s: float
    must_end_s: float
    tried: tuple[int, ...]
    request_bytes: int
    response_bytes: int
    target: bytes
    request_id: bytes
    observed: bool

    def __init__(self, services: Services, route: int) -> None:
        self.prepare(services, route)

    def prepare(self, services: Services, route: int) -> None:
        """What `__init__` does, for subclasses that each request makes one of."""
        self.services = services
        self.route = route
        self.must_end_s = inf
        self.tried = ()
        self.key = 0
        self.method = self.target = self.request_id = b""

    @property
    def client(self) -> str:
        """The client's IP address."""
        raise NotImplementedError

    def enter(self, state: int) -> None:
        """Go over to another state.

        Raises:
            RuntimeError: it does not follow the present one: an error of the router.
        """
        if not (_FOLLOWING[self.state] >> state) & 1:
            raise RuntimeError(f"an exchange cannot go from {NAMES[self.state]} to {NAMES[state]}")
        self.state = state

    @property
    def over(self) -> bool:
        """Whether its last record is written."""
        return self.state == OVER

    def dispatch(self, now_s: float) -> None:
        """Pick a backend for a new attempt, or wait for one, or refuse."""
        pool = self.pool
        if pool.waiting and pool.waiting.goes_first:
            position = ALL_FULL
        else:
            position = pool.selection.choose(self.request_class, self.key, now_s, self.tried)
        if position >= 0:
            self.go_to(position, now_s)
        elif position == NOBODY:
            self.refuse(Outcome.NO_BACKEND, f"pool {pool.name} has no healthy backend")
        elif pool.waiting.put(self):
            self.enter(WAITING)
            self.wait_until(min(self.must_end_s, now_s + pool.settings.queue.timeout_s))
        else:
            self.refuse(Outcome.QUEUE_FULL, f"all backends of pool {pool.name} are busy, and its queue is full")

    def go_to(self, position: int, now_s: float) -> None:
        """Begin the present attempt at a backend."""
        attempt = self.attempt
        attempt.position = position
        attempt.dispatched_s = now_s
        attempt.in_flight = self.pool.selection.began(position)
        self.reach(attempt, now_s)

    def next_attempt(self, now_s: float) -> None:
        """Begin another attempt; the one before is recorded."""
        self.attempt = new_attempt(self, len(self.tried) + 1, now_s)
        # Chosen only now: the place just given free may have let a waiting request in.
        self.dispatch(now_s)

    # In the queue

    @property
    def priority(self) -> int:
        """In the pool's queue: that of its route."""
        priority: int = self.services.route_priorities[self.route]
        return priority

    def dispatch_from_queue(self) -> bool:
        """Try again now that there may be room; False when there is none yet."""
        if self.state != WAITING:
            return True
        now_s = self.services.clock.now()
        position = self.pool.selection.choose(self.request_class, self.key, now_s, self.tried)
        if position == ALL_FULL:
            return False
        if position == NOBODY:
            self.refuse(Outcome.NO_BACKEND, f"pool {self.pool.name} has no healthy backend")
        else:
            self.go_to(position, now_s)
        return True

    def displaced(self) -> None:
        """A request of higher priority has taken the place in the queue."""
        self.refuse(Outcome.QUEUE_FULL, f"the queue of pool {self.pool.name} is full of requests of higher priority")

    def leave_queue(self) -> None:
        """Wait for room no more."""
        if self.state == WAITING and self in self.pool.waiting:
            self.pool.waiting.remove(self)

    # The end of an attempt

    def settle(self, attempt: Attempt, outcome: int, status: int, now_s: float) -> None:
        """Record an attempt, and give the backend's place free."""
        pool = self.pool
        position = attempt.position
        first_byte_s = attempt.first_byte_s
        dispatched_s = attempt.dispatched_s
        record = self.services.record
        record.arrived_s = self.arrived_s
        record.queued_s = dispatched_s - self.arrived_s
        record.first_byte_s = first_byte_s - dispatched_s - attempt.quiet_s if first_byte_s else _NEVER
        record.total_s = now_s - dispatched_s
        record.in_flight = attempt.in_flight
        record.request_bytes = self.request_bytes
        record.response_bytes = self.response_bytes
        record.backend = pool.first + position if position >= 0 else NO_BACKEND
        record.route = self.route
        record.request_class = self.request_class
        record.status = status
        record.outcome = outcome
        record.attempt = attempt.number
        self.services.write(self)
        if attempt.number > 1:
            self.retried()
        if position < 0:
            return
        attempt.position = NOBODY
        if attempt.timer is not None:
            attempt.timer.cancel()  # which would hold the whole request until its time comes
            attempt.timer = None
        if attempt.expected_s and outcome in (COMPLETE, HEDGE_LOST) and pool.hedging is not None:
            pool.hedging.measured(((first_byte_s or now_s) - dispatched_s) / attempt.expected_s)
        if pool.selection.observes and not self.observed:
            # An attempt that was overtaken took at least that long; of a hedge that lost, this says nothing.
            overtaken = outcome == HEDGE_LOST and attempt.expected_s
            if outcome == COMPLETE or outcome >= FIRST_BACKEND_FAULT or overtaken:
                self.observe(attempt, position, outcome, status, now_s)
        pool.ended(position)

    def observe(self, attempt: Attempt, position: int, outcome: int, status: int, now_s: float) -> None:
        """Tell a policy that measures how an attempt went."""
        latency_s = (attempt.first_byte_s or now_s) - attempt.dispatched_s
        if attempt.first_byte_s:
            latency_s -= attempt.quiet_s
        self.pool.selection.observe(position, now_s, latency_s, failed(outcome, status))

    # Of the subclasses

    def reach(self, attempt: Attempt, now_s: float) -> None:  # noqa: ARG002
        """Get to the attempt's backend."""
        self.enter(CONNECTING)
        self.pool.connections.connect(attempt)

    def refuse(self, outcome: Outcome, reason: str) -> None:
        """There is no backend for it."""
        raise NotImplementedError

    def wait_until(self, deadline_s: float) -> None:
        """Have `timed_out` called then."""
        raise NotImplementedError

    def timed_out(self, now_s: float) -> None:
        """The time of the present state is over."""
        raise NotImplementedError

    def retried(self) -> None:
        """A further attempt is over."""
