"""Which position of its pool each backend has that discovery found. Pure: no clock, no I/O.

A backend is known by its address; a name that another one has is not given twice. One that is found no more leaves: it
keeps its position until nothing is in flight there and a time has passed, so that late records are not taken for its
successor's. Where it is found again before that, it goes on as it was. HAProxy's server templates work likewise,
https://docs.haproxy.org/3.0/configuration.html (`server-template`), but give a position anew at once.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from smartlb.config.model import Backend

REST_S = 10.0
"""Least time from a backend's leaving until another one gets its position; longer than any tick of the learner."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One position.

    Attributes:
        backend: that has it; None where it is free.
        tenancy: counts the backends that have had it; 0 before the first.
        left_s: since when its backend is found no more; None while it is.
    """

    backend: Backend | None = None
    tenancy: int = 0
    left_s: float | None = None


class Positions:
    """The positions of one pool that discovery fills.

    Args:
        size: how many there are.
        static: backends that the pool has anyway; they are not found a second time.

    Attributes:
        seats: the positions.
        unplaced: backends that are wanted and have no position.
    """

    def __init__(self, size: int, static: Sequence[Backend] = ()) -> None:
        self.seats: list[Seat] = [Seat()] * size
        self.unplaced: list[Backend] = []
        self._static = {backend.address for backend in static}
        self._static_names = {backend.label for backend in static}

    def want(self, backends: Sequence[Backend], now_s: float) -> None:
        """Say which backends there are now: those that are new join, and those that are missing leave."""
        wanted = {
            backend.address: distinct(backend, self._static_names)
            for backend in backends
            if backend.address not in self._static
        }
        names = {backend.label for backend in wanted.values()}
        for at, seat in enumerate(self.seats):
            if seat.backend is None:
                continue
            backend = wanted.pop(seat.backend.address, None)
            if backend is not None:
                self.seats[at] = replace(seat, backend=backend, left_s=None)
            else:
                # One that leaves is called as before, so that its last requests are counted and logged under its name,
                # until another one has that.
                leaving = distinct(seat.backend, names)
                self.seats[at] = replace(seat, backend=leaving, left_s=now_s if seat.left_s is None else seat.left_s)
        self.unplaced = list(wanted.values())
        self._place()

    def rest(self, in_flight: Sequence[int], now_s: float) -> None:
        """Free the positions whose backends have been gone for long enough, and fill them where some wait for one.

        Args:
            in_flight: requests at each position.
            now_s: monotonic time.
        """
        for at, seat in enumerate(self.seats):
            if seat.left_s is not None and now_s - seat.left_s >= REST_S and in_flight[at] <= 0:
                self.seats[at] = Seat(None, seat.tenancy)
        self._place()

    def _place(self) -> None:
        """Give free positions to those who wait, the least used ones first."""
        free = sorted((seat.tenancy, at) for at, seat in enumerate(self.seats) if seat.backend is None)
        placed = list(zip(free, self.unplaced, strict=False))
        for (tenancy, at), backend in placed:
            self.seats[at] = Seat(backend, tenancy + 1)
        self.unplaced = self.unplaced[len(placed) :]


def distinct(backend: Backend, taken: Container[str]) -> Backend:
    """The same one, known by its address where its name is taken."""
    return backend.model_copy(update={"name": None}) if backend.label in taken else backend
