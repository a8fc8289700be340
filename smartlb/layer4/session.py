"""A TCP connection or a UDP session: an exchange whose bytes mean nothing to the router.

It gets a backend as a request does, may be tried at a second one where the first cannot be reached, and leaves a record
for each attempt.
"""

from typing import Final

from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.exchange.exchange import Exchange
from smartlb.exchange.states import CONNECTING, OVER, RELAYING
from smartlb.ports.upstream import Attempt, new_attempt
from smartlb.upstream.pool import Pool

NEVER_S: Final = float("inf")
"""A deadline where others watch the time."""

_MOST_ATTEMPTS: Final = 2


class Session(Exchange):
    """Carries what a client sends to one backend, and back.

    Subclasses move the bytes. They call `begin` once, and `end` once it is over; the last methods here are theirs.

    Args:
        front: what all connections share.
        route: number of its listener's route.

    Attributes:
        front: the argument.
        address: the client's IP address.
        deadline_s: when the present phase has taken too long; monotonic, like all times here.
    """

    def __init__(self, front: Front, route: int) -> None:
        Exchange.__init__(self, front.services, route)
        self.front = front
        self.address = ""
        self.deadline_s = NEVER_S

    @property
    def client(self) -> str:
        """The client's IP address."""
        return self.address

    @property
    def trusted(self) -> bool:
        """Whether the client is a proxy, which has many clients of its own."""
        return False

    @property
    def unfinished(self) -> bool:
        """Whether somebody waits for something on it: nobody can tell."""
        return True

    @property
    def first_byte_s(self) -> float:
        """When the backend answered first; 0 before."""
        return self.attempt.first_byte_s

    @first_byte_s.setter
    def first_byte_s(self, at_s: float) -> None:
        self.attempt.first_byte_s = at_s

    def now(self) -> float:
        """The time."""
        return self.services.clock.now()

    def begin(self, pool: Pool, now_s: float) -> None:
        """Find a backend of `pool`, or wait for one."""
        self.pool = pool
        self.arrived_s = now_s
        self.key = pool.address_key(self.address)
        self.attempt = new_attempt(self, 1, now_s)
        self.dispatch(now_s)

    @property
    def priority(self) -> int:
        """In the pool's queue: that of a route that names none."""
        return 0

    def wait_until(self, deadline_s: float) -> None:
        """Have `timed_out` called then."""
        self.deadline_s = deadline_s

    def reach(self, attempt: Attempt, now_s: float) -> None:  # noqa: ARG002
        """Get to the attempt's backend."""
        self.enter(CONNECTING)
        self.deadline_s = NEVER_S  # connecting has a timeout of its own
        self.open(attempt)

    def reached(self) -> None:
        """There is a way to the backend."""
        self.enter(RELAYING)

    def connect_failed(self, attempt: Attempt, outcome: Outcome) -> None:
        """The backend could not be reached: another may be tried, for nothing has got there."""
        if self.over or attempt is not self.attempt:
            return
        now_s = self.now()
        again = False
        if attempt.number < _MOST_ATTEMPTS:
            self.tried = (*self.tried, attempt.position)
            again = self.pool.has_room_besides(self.tried)
        self.settle(attempt, outcome, 0, now_s)
        if again:
            self.next_attempt(now_s)
        else:
            self.enter(OVER)
            self.refused()

    def refuse(self, outcome: Outcome, reason: str) -> None:  # noqa: ARG002
        """There is no backend for it."""
        self.end(outcome, self.now())
        self.refused()

    def end(self, outcome: Outcome, now_s: float) -> None:
        """It is over; write its record."""
        self.leave_queue()
        # First, as what is settled may let another have the place, which looks at the time of all.
        attempt = self.attempt
        self.enter(OVER)
        self.settle(attempt, outcome, 0, now_s)

    # Of the subclasses

    def open(self, attempt: Attempt) -> None:
        """Open the way to a backend."""
        raise NotImplementedError

    def refused(self) -> None:
        """It is over before a backend was reached."""
        raise NotImplementedError

    def drain(self, idle_s: float) -> None:
        """The worker is about to end: close what nobody waits for."""
        raise NotImplementedError
