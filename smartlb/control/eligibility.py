"""Which backends may be picked: not unhealthy, not ejected, not drained, and there at all."""

import logging
from collections.abc import Mapping
from enum import StrEnum

from smartlb.config.numbering import Numbering
from smartlb.core import fence
from smartlb.core.segment import Segment

log = logging.getLogger(__name__)


class Bar(StrEnum):
    """Why a backend may not be picked; any one is enough."""

    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"
    DRAINED = "drained"
    GONE = "gone"


class Eligibility:
    """Joins the four and tells the workers through the segment; the only writer of `Segment.eligible`.

    Workers know from `smartlb.config.membership` which backends are there. Said here a second time, the two could not
    be read at one moment: a pool that changes all its backends at once would seem empty in between. What is written of
    a position therefore leaves out whether discovery finds its backend.

    Every backend may be picked at first. Where too few of a pool's backends are left, it panics: the others are more
    likely to be overloaded than down, or the checks wrong, and all but the drained ones are used (Envoy's panic
    threshold, https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold).

    Args:
        segment: its `eligible` is written, then its `eligibility_version` raised.
        numbering: of the same configuration.
        panic_share: by pool, the share of backends that are not drained below which it panics; 0 where not given.
    """

    def __init__(self, segment: Segment, numbering: Numbering, panic_share: Mapping[str, float] | None = None) -> None:
        self._segment = segment
        self._numbering = numbering
        self._panic_share = panic_share or {}
        self._panics: set[str] = set()
        self._bars: list[dict[Bar, str]] = [
            {} if member.present else {Bar.GONE: "not discovered"} for member in numbering.backends
        ]
        segment.eligible[:] = 1
        tell(segment)

    def set_health(self, index: int, healthy: bool, reason: str = "") -> None:
        """Say what the active checks found."""
        self._set(index, Bar.UNHEALTHY, not healthy, reason)

    def set_ejected(self, index: int, ejected: bool, reason: str = "") -> None:
        """Say what live requests showed."""
        self._set(index, Bar.EJECTED, ejected, reason)

    def set_drained(self, index: int, drained: bool, reason: str = "by an operator") -> None:
        """Say what an operator wants."""
        self._set(index, Bar.DRAINED, drained, reason)

    def set_gone(self, index: int, gone: bool) -> None:
        """Say what discovery found."""
        self._set(index, Bar.GONE, gone, "not discovered")

    def forget(self, index: int) -> None:
        """Another backend is to have the position of one that is gone; nothing is said of it but that, for now."""
        self._bars[index] = {Bar.GONE: "not discovered"}
        self._publish(self._numbering.backends[index].pool)

    def take_over(self, bars: Mapping[int, Mapping[Bar, str]]) -> None:
        """Begin from what is said of backends already: for each index the bars, with their reasons."""
        self._bars = [
            {**bars.get(index, {}), **({Bar.GONE: own[Bar.GONE]} if Bar.GONE in own else {})}
            for index, own in enumerate(self._bars)
        ]
        for pool in self._numbering.pools:
            self._look_for_panic(pool)
        self._segment.eligible[:] = [self._works(index) for index in range(len(self._bars))]
        tell(self._segment)

    def bars(self, index: int) -> Mapping[Bar, str]:
        """Why a backend may not be picked, each with its reason."""
        return self._bars[index]

    def eligible(self, index: int) -> bool:
        """Whether a backend may be picked."""
        return Bar.GONE not in self._bars[index] and self._works(index) > 0

    def panics(self, pool: str) -> bool:
        """Whether a pool uses backends that are unhealthy or ejected, for too few are left."""
        return pool in self._panics

    def drained(self, index: int) -> bool:
        """Whether an operator took a backend out."""
        return Bar.DRAINED in self._bars[index]

    def reasons(self, index: int) -> list[str]:
        """Why a backend may not be picked, in words; where it may, why only as its pool panics, or empty."""
        return [f"{bar}: {reason}" if reason else str(bar) for bar, reason in sorted(self._bars[index].items())]

    def count(self, pool: str) -> int:
        """How many backends of a pool may be picked."""
        return sum(self.eligible(index) for index in self._numbering.pools[pool])

    def _set(self, index: int, bar: Bar, barred: bool, reason: str) -> None:
        bars, pool = self._bars[index], self._numbering.backends[index].pool
        before = self.count(pool)
        if barred:
            bars[bar] = reason
        else:
            bars.pop(bar, None)
        self._look_for_panic(pool)
        self._publish(pool)
        if (left := self.count(pool)) != before:
            self._log_pool(pool, before, left)

    def _publish(self, pool: str) -> None:
        members = self._numbering.pools[pool]
        states = [self._works(member) for member in members]
        own = self._segment.eligible[members.start : members.stop]
        if states != own.tolist():
            own[:] = states
            tell(self._segment)

    def _works(self, index: int) -> int:
        """What `Segment.eligible` says of a backend."""
        bars = self._bars[index]
        if not bars or bars.keys() == {Bar.GONE}:
            return 1
        panics = self._panics and self._numbering.backends[index].pool in self._panics
        return 2 if panics and Bar.DRAINED not in bars else 0

    def _look_for_panic(self, pool: str) -> None:
        members = self._numbering.pools[pool]
        wanted = sum(_wanted(self._bars[index]) for index in members)
        good = sum(not self._bars[index] for index in members)
        panics = good < self._panic_share.get(pool, 0.0) * wanted
        if panics is (pool in self._panics):
            return
        if panics:
            self._panics.add(pool)
            log.error("pool %s panics: health is ignored, as %d of %d backends are left", pool, good, wanted)
        else:
            self._panics.discard(pool)
            log.warning("pool %s panics no more: %d of %d backends are left", pool, good, wanted)

    def _log_pool(self, pool: str, before: int, left: int) -> None:
        if left == 0:
            log.error("pool %s has no eligible backend: its requests are answered 503", pool)
        elif before == 0:
            log.warning("pool %s has an eligible backend again", pool)


def _wanted(bars: Mapping[Bar, str]) -> bool:
    """Whether a backend would be used if it worked."""
    return Bar.DRAINED not in bars and Bar.GONE not in bars


def tell(segment: Segment) -> None:
    """Have the workers look at what was written to `Segment.eligible`."""
    fence.publish()
    segment.eligibility_version += 1
