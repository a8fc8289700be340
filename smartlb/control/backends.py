"""What is known of the backends of one generation: which there are, and which of them may be picked."""

import logging
from collections.abc import Iterable, Sequence
from random import Random

from smartlb.config.model import Config
from smartlb.config.numbering import Member, Numbering, Renumbering
from smartlb.control.ejection import Ejector
from smartlb.control.eligibility import Bar, Eligibility, tell
from smartlb.control.health import HealthChecker
from smartlb.control.membership import Found, Membership
from smartlb.control.rise_fall import Health
from smartlb.core.segment import Segment
from smartlb.process.guard import Guard

log = logging.getLogger(__name__)


class Backends:
    """Joins membership, health checks, ejection and eligibility.

    Args:
        config: of the generation.
        numbering: of the same configuration.
        segment: that its processes share.
        membership_fd: of the file in which members are published; -1 where no pool has discovery.
        found: the backends that discovery has found so far.
        guard: around each health check.

    Attributes:
        membership, eligibility, health, ejector: of these backends.
    """

    def __init__(
        self, config: Config, numbering: Numbering, segment: Segment, membership_fd: int, found: Found, guard: Guard
    ) -> None:
        self._numbering = numbering
        self._segment = segment
        self.membership = Membership(config, numbering, segment, membership_fd)
        if self.membership.want(found):
            self.membership.publish()
        self._tenancy = {member.index: member.tenancy for member in numbering.backends if not member.vacant}
        panic = {name: pool.panic_share for name, pool in config.pools.items()}
        self.eligibility = Eligibility(segment, numbering, panic)
        self.health = HealthChecker(config, numbering, self.eligibility.set_health, Random(), guard)
        self.ejector = Ejector((numbering.pools[name], pool.ejection) for name, pool in config.pools.items())
        for name in numbering.pools:
            self._resize(name)

    def find(self, found: Found, *, silent: bool) -> list[Member]:
        """Take in what discovery has found; returns the members whose positions were given to them anew.

        Args:
            found: by pool.
            silent: whether to leave it to others to log who joins and leaves.
        """
        return self._seated(self.membership.want(found), silent=silent)

    def rest(self, *, silent: bool) -> list[Member]:
        """Free the positions of backends that are gone, likewise."""
        return self._seated(self.membership.rest(), silent=silent) if self.membership else []

    def _seated(self, changed: Sequence[Member], *, silent: bool) -> list[Member]:
        if not changed:
            return []
        new = [each for each in changed if each.present and self._tenancy.get(each.index) != each.tenancy]
        fresh = {member.index for member in new}
        for member in new:
            self._tenancy[member.index] = member.tenancy
            self.ejector.forget(member.index)
            self.eligibility.forget(member.index)
        # Workers use newcomers from here on, and nothing must be said of them that is of those before.
        self.membership.publish()
        # Those that are there first: with the others gone, the pool is not empty in between.
        for member in sorted(changed, key=lambda each: not each.present):
            anew = member.index in fresh
            self.health.seat(member, anew=anew)
            self.eligibility.set_gone(member.index, not member.present)
            if not member.vacant and not silent:
                what = "joins" if anew else "leaves" if member.leaving else "stays"
                log.info(
                    "pool %s: backend %s at %s %s", member.pool, member.settings.label, member.settings.address, what
                )
        for name in {member.pool for member in changed}:
            self._resize(name)
        return new

    def _resize(self, pool: str) -> None:
        self.ejector.resize(self._numbering.pools[pool], len(self._numbering.present(pool)))

    def take_over(self, earlier: "Backends") -> None:
        """Go on from what an earlier generation knows of backends that are still there at the same address.

        Drained is what an operator has drained, whatever its address.
        """
        renumbering = Renumbering(earlier._numbering, self._numbering)
        bars: dict[int, dict[Bar, str]] = {index: {} for index in range(len(self._numbering.backends))}
        for its_index, index in enumerate(renumbering.backends.tolist()):
            if index >= 0 and earlier.eligibility.drained(its_index):
                bars[index][Bar.DRAINED] = earlier.eligibility.bars(its_index)[Bar.DRAINED]
        for its_index, index in renumbering.servers:
            self.health.take_over(index, earlier.health, its_index)
            self.ejector.take_over(index, earlier.ejector, its_index)
            known = earlier.eligibility.bars(its_index)
            if self.health.health(index) is Health.UNHEALTHY:
                bars[index][Bar.UNHEALTHY] = known.get(Bar.UNHEALTHY, "")
            if self.ejector.ejected(index):
                bars[index][Bar.EJECTED] = known.get(Bar.EJECTED, "")
        self.eligibility.take_over(bars)

    def follow(self, other: "Backends") -> None:
        """Pick no backend that the present generation would not: for one that starts or drains beside it."""
        eligible = self._segment.eligible
        before = eligible.copy()
        for its_index, index in Renumbering(other._numbering, self._numbering).servers:
            eligible[index] = other._segment.eligible[its_index]
        if (eligible != before).any():
            tell(self._segment)

    def drained(self) -> list[tuple[str, str]]:
        """Pool and name of each backend that an operator has taken out."""
        return [
            (member.pool, member.settings.label)
            for member in self._numbering.backends
            if self.eligibility.drained(member.index)
        ]

    def drain(self, backends: Iterable[tuple[str, str]]) -> None:
        """Take out the backends of these pools and names, where there are such."""
        wanted = set(backends)
        for member in self._numbering.backends:
            if (member.pool, member.settings.label) in wanted:
                self.eligibility.set_drained(member.index, True)
