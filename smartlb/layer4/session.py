"""What is the same for a TCP connection and for a UDP session: what an `Exchange` is for a request.

It gets a backend by the pool's policy, counts as one request in flight, may wait for room, may be tried at a second
backend where the first cannot be reached, and leaves a telemetry record for each attempt.
"""

from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from smartlb.core.outcome import COMPLETE, FIRST_BACKEND_FAULT, Outcome, failed
from smartlb.core.record import NO_BACKEND
from smartlb.upstream.pool import ALL_FULL, NOBODY, Pool

if TYPE_CHECKING:
    from smartlb.worker.worker import Worker

NEVER_S = float("inf")
"""A deadline where others watch the time."""

_MOST_ATTEMPTS = 2
_NONE = float("nan")


class Session:
    """Carries what a client sends to one backend, and back.

    Subclasses move the bytes. They call `begin` once, and `end` once it is over; the last methods here are theirs.

    Attributes:
        method: ``TCP`` or ``UDP``, for the access log.
        worker: whose session it is.
        route: number of its listener's route.
        address: the client's IP address.
        server_name: the host in the client's TLS greeting, where it was read.
        deadline_s: when the present phase has taken too long; monotonic, like all times here.
        request_bytes: from the client.
        response_bytes: from the backend.
        first_byte_s: when the backend answered first; 0 before.
        quiet_s: how long the backend had nothing to answer before that, because the client was silent.
        over: whether its last record is written.
    """

    __slots__ = (
        "_arrived_s",
        "_attempt",
        "_dispatched_s",
        "_in_flight",
        "_pool",
        "_position",
        "_tried",
        "address",
        "deadline_s",
        "first_byte_s",
        "over",
        "quiet_s",
        "request_bytes",
        "response_bytes",
        "route",
        "server_name",
        "worker",
    )

    method: ClassVar[bytes]
    _pool: Pool

    def __init__(self, worker: "Worker", route: int) -> None:
        self.worker = worker
        self.route = route
        self.address = ""
        self.server_name = ""
        self.deadline_s = NEVER_S
        self.request_bytes = 0
        self.response_bytes = 0
        self.first_byte_s = 0.0
        self.quiet_s = 0.0
        self.over = False
        self._arrived_s = self._dispatched_s = 0.0
        self._attempt = 1
        self._position = NOBODY
        self._in_flight = 0
        self._tried: tuple[int, ...] = ()

    def begin(self, pool: Pool, now_s: float) -> None:
        """Find a backend of `pool`, or wait for one."""
        self._pool = pool
        self._arrived_s = self._dispatched_s = now_s
        self._dispatch(now_s)

    def _dispatch(self, now_s: float) -> None:
        pool = self._pool
        position = ALL_FULL if pool.waiting.goes_first else self._choose(now_s)
        if position >= 0:
            self._take(position, now_s)
        elif position == NOBODY:
            self._refuse(Outcome.NO_BACKEND)
        elif pool.waiting.put(self):
            self.deadline_s = now_s + pool.settings.queue.timeout_s
        else:
            self._refuse(Outcome.QUEUE_FULL)

    def _choose(self, now_s: float) -> int:
        return self._pool.choose(0, self._pool.address_key(self.address), now_s, self._tried)

    def dispatch_from_queue(self) -> bool:
        """Try again now that there may be room; False when there is none yet."""
        if self.over:
            return True
        now_s = monotonic()
        position = self._choose(now_s)
        if position == ALL_FULL:
            return False
        if position == NOBODY:
            self._refuse(Outcome.NO_BACKEND)
        else:
            self._take(position, now_s)
        return True

    def _take(self, position: int, now_s: float) -> None:
        self._position = position
        self._dispatched_s = now_s
        self._in_flight = self._pool.began(position)
        self.deadline_s = NEVER_S  # connecting has a timeout of its own
        self._connect(position)

    @property
    def priority(self) -> int:
        """In the pool's queue: that of a route that names none."""
        return 0

    def displaced(self) -> None:
        """A request of higher priority has taken the place in the queue."""
        self._refuse(Outcome.QUEUE_FULL)

    @property
    def tried(self) -> tuple[int, ...]:
        """Positions of backends that it will not go to again."""
        return self._tried

    @property
    def waits(self) -> bool:
        """Whether it waits in the pool's queue."""
        return self in self._pool.waiting

    def connect_failed(self, outcome: Outcome) -> None:
        """The backend could not be reached: another may be tried, for nothing has got there."""
        if self.over:
            return
        now_s = monotonic()
        again = False
        if self._attempt < _MOST_ATTEMPTS:
            self._tried = (*self._tried, self._position)
            again = self._pool.has_room_besides(self._tried)
        self._settle(outcome, now_s)
        if again:
            self._dispatched_s, self._in_flight = now_s, 0
            # Chosen anew: the place just given free may have let one that waited in.
            self._attempt += 1
            self._dispatch(now_s)
        else:
            self.over = True
            self._refused()

    def timed_out_waiting(self) -> None:
        """It has waited for room for too long."""
        self._refuse(Outcome.QUEUE_TIMEOUT)

    def _refuse(self, outcome: Outcome) -> None:
        self.end(outcome, monotonic())
        self._refused()

    def end(self, outcome: Outcome, now_s: float) -> None:
        """It is over; write its record."""
        if self._position < 0 and self.waits:
            self._pool.waiting.remove(self)
        self.over = True
        self._settle(outcome, now_s)

    def _settle(self, outcome: Outcome, now_s: float) -> None:
        """Record one attempt, and give the backend's place free."""
        pool, position, dispatched_s = self._pool, self._position, self._dispatched_s
        first_byte_s = self.first_byte_s - dispatched_s - self.quiet_s if self.first_byte_s else _NONE
        fields = (
            self._arrived_s,
            dispatched_s - self._arrived_s,
            first_byte_s,
            now_s - dispatched_s,
            self._in_flight,
            self.request_bytes,
            self.response_bytes,
            pool.first + position if position >= 0 else NO_BACKEND,
            self.route,
            0,
            0,
            outcome,
            self._attempt,
        )
        worker = self.worker
        worker.write_record(fields)
        if worker.logs:
            worker.log_session(self, fields)
        if position < 0:
            return
        self._position = NOBODY
        if pool.observe is not None and (outcome == COMPLETE or outcome >= FIRST_BACKEND_FAULT):
            latency_s = first_byte_s if self.first_byte_s else now_s - dispatched_s
            pool.observe(pool.memory, position, now_s, latency_s, failed(outcome, 0))
        pool.ended(position)

    # Of the subclasses

    def _connect(self, position: int) -> None:
        """Open the way to a backend."""
        raise NotImplementedError

    def _refused(self) -> None:
        """It is over before a backend was reached."""
        raise NotImplementedError

    def timed_out(self, now_s: float) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def drain(self) -> None:
        """The worker is about to end: close what nobody waits for."""
        raise NotImplementedError
