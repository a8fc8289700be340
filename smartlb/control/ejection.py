"""Passive health checks: a backend whose live requests fail in a row, or that stands out, is left out for a while.

After Envoy's outlier detection by consecutive failures, https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Ejection
from smartlb.control.outliers import Interval
from smartlb.core.outcome import FIRST_BACKEND_FAULT, Outcome
from smartlb.core.record import Records


@dataclass(frozen=True, slots=True)
class Ejected:
    """An ejection that begins.

    Attributes:
        index: of the backend, over all pools.
        for_s: how long it lasts.
        reason: in words.
    """

    index: int
    for_s: float
    reason: str


@dataclass(slots=True)
class _Pool:
    settings: Ejection
    members: range
    most: int  # how many may be ejected at once
    interval: Interval | None  # where backends are compared
    ejected: int = 0


@dataclass(slots=True)
class _Standing:
    """One backend; `in_a_row` is the multiplier of its last ejection, `since_s` when that ended."""

    pool: _Pool
    failures: int = 0
    in_a_row: int = 0
    total: int = 0
    until_s: float | None = None
    since_s: float = -math.inf


class Ejector:
    """Counts failures in a row, compares backends, and ejects and releases them.

    A failure is an exchange that the backend broke, or a 5xx. A 429 is none: it says that a working backend
    has enough to do. What clients or the router caused says nothing of a backend and is not looked at.

    Where a pool's settings say so, backends are also compared with the others at intervals, see
    `smartlb.control.outliers`. The share of the pool that may be ejected holds for all reasons together.

    The n-th ejection in a row takes n times the base. Every base period that a backend then stays without an
    ejection takes one off n (Envoy does this at each of its intervals).

    Args:
        pools: for each pool the range of its backends' indices and its settings; None never ejects.
    """

    def __init__(self, pools: Iterable[tuple[range, Ejection | None]]) -> None:
        self._standings: dict[int, _Standing] = {}
        self._ejected: set[int] = set()
        self._compared: list[_Pool] = []
        for members, settings in pools:
            if settings is not None:
                most = _most(settings, len(members))
                compared = settings.success_rate is not None or settings.latency is not None
                pool = _Pool(settings, members, most, Interval(settings, len(members)) if compared else None)
                if compared:
                    self._compared.append(pool)
                self._standings.update({index: _Standing(pool) for index in members})

    def forget(self, index: int) -> None:
        """Another backend has this number now."""
        if index in self._standings:
            pool = self._standings[index].pool
            pool.ejected -= index in self._ejected
            self._ejected.discard(index)
            self._standings[index] = _Standing(pool)
            if pool.interval is not None:
                pool.interval.forget(index - pool.members.start)

    def resize(self, members: range, present: int) -> None:
        """Say how many backends a pool has that are there now."""
        if members and (standing := self._standings.get(members.start)) is not None:
            standing.pool.most = _most(standing.pool.settings, present)

    def ejected(self, index: int) -> bool:
        """Whether a backend is ejected now."""
        return index in self._ejected

    def ejections(self, index: int) -> int:
        """How often a backend was ejected so far."""
        return self._standings[index].total if index in self._standings else 0

    def take_over(self, index: int, earlier: "Ejector", its_index: int) -> None:
        """Go on from what another ejector knows of a backend, ejections under way included; once for each backend."""
        standing, known = self._standings.get(index), earlier._standings.get(its_index)
        if standing is None or known is None:
            return
        standing.failures, standing.in_a_row, standing.total = known.failures, known.in_a_row, known.total
        standing.until_s, standing.since_s = known.until_s, known.since_s
        if its_index in earlier._ejected:
            self._ejected.add(index)
            standing.pool.ejected += 1

    def observe(self, records: Records, now_s: float) -> list[Ejected]:
        """Take in finished requests, in the order in which they ended; returns the ejections that follow.

        Where the pool has as many ejected as it may, a failing backend stays, and is ejected at its next
        failure for which there is room. Requests dispatched before the end of a backend's last ejection do
        not count.
        """
        outcome = records["outcome"]
        telling = (outcome == Outcome.COMPLETE) | (outcome >= FIRST_BACKEND_FAULT)
        records = records[telling & (outcome < len(Outcome))]  # of one that there is not, a backend is not to blame
        failed = (records["outcome"] >= FIRST_BACKEND_FAULT) | (records["status"] >= 500)
        dispatched_s = records["arrived_s"] + records["queued_s"]
        ejections = self._compare(records, failed, dispatched_s, now_s) if self._compared else []
        if not failed.any() and not any(standing.failures for standing in self._standings.values()):
            return ejections
        order = np.argsort(dispatched_s + records["total_s"], kind="stable")
        for index, sent_s, failure in zip(
            records["backend"][order].tolist(),
            dispatched_s[order].tolist(),
            failed[order].tolist(),
            strict=True,
        ):
            standing = self._standings.get(index)
            if standing is None or standing.until_s is not None or sent_s < standing.since_s:
                continue
            standing.failures = standing.failures + 1 if failure else 0
            pool = standing.pool
            if standing.failures >= pool.settings.consecutive_failures and pool.ejected < pool.most:
                reason = f"{standing.failures} failed requests in a row"
                ejections.append(self._eject(index, standing, reason, now_s))
        return ejections

    def _compare(
        self, records: Records, failed: npt.NDArray[np.bool_], dispatched_s: npt.NDArray[np.float64], now_s: float
    ) -> list[Ejected]:
        """Compare backends with their pools, where an interval is over."""
        ejections = []
        backend, latency_s = records["backend"], records["first_byte_s"].astype(np.float64)
        for pool in self._compared:
            assert pool.interval is not None
            members = pool.members
            standings = [self._standings[index] for index in members]
            own = (backend >= members.start) & (backend < members.stop)
            position = backend[own].astype(np.intp) - members.start
            from_s = np.array([math.inf if each.until_s is not None else each.since_s for each in standings])
            counts = dispatched_s[own] >= from_s[position]
            pool.interval.add(position[counts], failed[own][counts], latency_s[own][counts])
            for outlier in pool.interval.close(now_s):
                standing = standings[outlier.position]
                if standing.until_s is None and pool.ejected < pool.most:
                    index = members[outlier.position]
                    ejections.append(self._eject(index, standing, outlier.reason, now_s))
        return ejections

    def _eject(self, index: int, standing: _Standing, reason: str, now_s: float) -> Ejected:
        settings = standing.pool.settings
        quiet_periods = (now_s - standing.since_s) / settings.base_ejection_s
        standing.in_a_row += 1 - int(min(quiet_periods, standing.in_a_row))
        standing.total += 1
        for_s = min(settings.max_ejection_s, settings.base_ejection_s * standing.in_a_row)
        standing.until_s = now_s + for_s
        standing.pool.ejected += 1
        self._ejected.add(index)
        return Ejected(index, for_s, f"{reason}, left out for {for_s:g} s")

    def release(self, now_s: float) -> list[int]:
        """End the ejections whose time is over; returns the backends, ascending."""
        released = []
        for index in sorted(self._ejected):
            standing = self._standings[index]
            if standing.until_s is not None and standing.until_s <= now_s:
                standing.until_s = None
                standing.since_s = now_s
                standing.failures = 0
                standing.pool.ejected -= 1
                self._ejected.remove(index)
                released.append(index)
        return released


def _most(settings: Ejection, backends: int) -> int:
    """How many of so many may be ejected at once."""
    # The small number makes 0.29 of 100 backends 29, not 28.
    return math.floor(settings.max_ejected_share * backends + 1e-9)
