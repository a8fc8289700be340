"""Which backends may be picked: not unhealthy, not ejected, not drained."""

import logging
from collections.abc import Mapping
from enum import StrEnum

from smartlb.config.numbering import Numbering
from smartlb.core.segment import Segment

log = logging.getLogger(__name__)


class Bar(StrEnum):
    """Why a backend may not be picked; any one is enough."""

    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"
    DRAINED = "drained"


class Eligibility:
    """Joins the three and tells the workers through the segment; the only writer of `Segment.eligible`.

    Every backend may be picked at first.

    Args:
        segment: its `eligible` is written, then its `eligibility_version` raised.
        numbering: of the same configuration.
    """

    def __init__(self, segment: Segment, numbering: Numbering) -> None:
        self._segment = segment
        self._numbering = numbering
        self._bars: list[dict[Bar, str]] = [{} for _ in numbering.backends]
        segment.eligible[:] = 1
        segment.eligibility_version += 1

    def set_health(self, index: int, healthy: bool, reason: str = "") -> None:
        """Say what the active checks found."""
        self._set(index, Bar.UNHEALTHY, not healthy, reason)

    def set_ejected(self, index: int, ejected: bool, reason: str = "") -> None:
        """Say what live requests showed."""
        self._set(index, Bar.EJECTED, ejected, reason)

    def set_drained(self, index: int, drained: bool, reason: str = "by an operator") -> None:
        """Say what an operator wants."""
        self._set(index, Bar.DRAINED, drained, reason)

    def take_over(self, bars: Mapping[int, Mapping[Bar, str]]) -> None:
        """Begin from what is said of backends already: for each index the bars, with their reasons."""
        self._bars = [dict(bars.get(index, {})) for index in range(len(self._bars))]
        self._segment.eligible[:] = [not own for own in self._bars]
        self._segment.eligibility_version += 1

    def bars(self, index: int) -> Mapping[Bar, str]:
        """Why a backend may not be picked, each with its reason."""
        return self._bars[index]

    def eligible(self, index: int) -> bool:
        """Whether a backend may be picked."""
        return not self._bars[index]

    def drained(self, index: int) -> bool:
        """Whether an operator took a backend out."""
        return Bar.DRAINED in self._bars[index]

    def reasons(self, index: int) -> list[str]:
        """Why a backend may not be picked, in words; empty where it may."""
        return [f"{bar}: {reason}" if reason else str(bar) for bar, reason in sorted(self._bars[index].items())]

    def count(self, pool: str) -> int:
        """How many backends of a pool may be picked."""
        return sum(not self._bars[index] for index in self._numbering.pools[pool])

    def _set(self, index: int, bar: Bar, barred: bool, reason: str) -> None:
        bars = self._bars[index]
        before = not bars
        if barred:
            bars[bar] = reason
        else:
            bars.pop(bar, None)
        after = not bars
        if after is before:
            return
        self._segment.eligible[index] = after
        self._segment.eligibility_version += 1
        self._log_pool(self._numbering.backends[index].pool, risen=after)

    def _log_pool(self, pool: str, risen: bool) -> None:
        left = self.count(pool)
        if left == 0:
            log.error("pool %s has no eligible backend: its requests are answered 503", pool)
        elif left == 1 and risen:
            log.warning("pool %s has an eligible backend again", pool)
