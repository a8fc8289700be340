"""The positions of one generation's pools, kept in step with what discovery finds."""

import logging
from collections.abc import Mapping, Sequence
from time import monotonic

from smartlb.config.membership import publish
from smartlb.config.model import Backend, Config
from smartlb.config.numbering import VACANT, Member, Numbering
from smartlb.control.discovery.positions import Positions
from smartlb.core.segment import Segment

log = logging.getLogger(__name__)

Found = Mapping[str, Sequence[Backend]]
"""The backends that discovery has found last, by pool."""


class Membership:
    """Gives backends positions, and publishes them.

    Args:
        config: of the generation.
        numbering: likewise; what changes is seated in it.
        segment: likewise.
        fd: of the file in which the members are published.
    """

    def __init__(self, config: Config, numbering: Numbering, segment: Segment, fd: int) -> None:
        self._numbering = numbering
        self._segment = segment
        self._fd = fd
        self._positions: dict[str, Positions] = {}
        self._first: dict[str, int] = {}
        for name, pool in config.pools.items():
            if pool.discovery is not None:
                self._positions[name] = Positions(pool.discovery.max_backends, pool.backends)
                self._first[name] = numbering.pools[name].start + len(pool.backends)
        self._complained: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether any pool has discovery."""
        return bool(self._positions)

    def want(self, found: Found) -> list[Member]:
        """Take in what was found; returns the members that have changed, which are to be published."""
        for name, backends in found.items():
            if name in self._positions:
                self._positions[name].want(backends, monotonic())
        return self._seat()

    def rest(self) -> list[Member]:
        """Free positions whose backends are gone; to be called now and then. Returns what has changed, likewise."""
        in_flight = self._segment.in_flight.sum(axis=0).tolist()
        for name, positions in self._positions.items():
            first = self._first[name]
            positions.rest(in_flight[first : first + len(positions.seats)], monotonic())
        return self._seat()

    def publish(self) -> None:
        """Tell the other processes."""
        publish(self._fd, self._segment, [member for name in self._positions for member in self._members(name)])

    def unplaced(self, pool: str) -> int:
        """How many backends of a pool were found for which it has no room."""
        return len(self._positions[pool].unplaced) if pool in self._positions else 0

    def _seat(self) -> list[Member]:
        changed = self._numbering.seat(member for name in self._positions for member in self._members(name))
        for name, positions in self._positions.items():
            self._complain(name, positions)
        return changed

    def _members(self, pool: str) -> list[Member]:
        first, start = self._first[pool], self._numbering.pools[pool].start
        return [
            Member(
                first + at,
                pool,
                first + at - start,
                VACANT if seat.backend is None else seat.backend,
                seat.tenancy,
                seat.left_s is not None,
            )
            for at, seat in enumerate(self._positions[pool].seats)
        ]

    def _complain(self, pool: str, positions: Positions) -> None:
        count = len(positions.unplaced)
        if count and count != self._complained.get(pool):
            log.warning(
                "pool %s: no room for %d backends that were found; raise discovery.max_backends (%d)",
                pool, count, len(positions.seats),
            )  # fmt: skip
        self._complained[pool] = count
