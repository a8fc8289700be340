"""How much of a backend's time a request takes, learned from what ends while the backend is never idle.

In an overload latency says nothing of this: each request waits for all those ahead of it, and its own service is lost
in that. What ends does say it. A backend that is never idle spends the whole of each tick on what ended in it, so that
the numbers of requests that ended, by class, times the time that each takes, add up to the tick; a regression over
ticks of different mixes gives the times. Without it a fleet where every class has backends of its own may never get out
of an overload: requests of the wrong classes make each backend look slow for its own class as well.
"""

from math import exp, inf, nan

import numpy as np

from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.seats import Kept, seated

CROWDED = 5.0
"""Mean latency of the pool, as a multiple of its least, from which on requests mostly wait."""

CROWDED_S = 1.0
"""Time constant at which that is noticed, and is over."""

SAMPLE = 30.0
"""Requests whose mean latency is compared with the least."""

RELAX = 0.002
"""By how much the least latency grows with every sample, so that it is not for ever that of a better time."""

LEAST_IN_FLIGHT = 4.0
"""A backend with fewer may be idle at times; so may one with less than half of the pool's mean."""

MEMORY_S = 16.0
"""Time constant of the times."""

PRIOR = 2.0
"""As how many ticks it counts that all classes take what requests take on average."""

AVERAGE_S = 30.0
"""Time constant of that average, at first over the pool. It outlives the traffic that it was made of, so that what
backends no longer get, because it takes long there, does not seem to take as little as what they do get."""

KNOWN = 3.0
"""Ticks from which on a backend's own count."""

FREAK = 30.0
"""Bound of the ratio between a class's time and the mean."""


class Work:
    """What requests cost of a pool's capacity, as far as it has been crowded lately.

    Args:
        classes: how many request classes there are.
        backends: how many backends the pool has.
    """

    def __init__(self, classes: int, backends: int) -> None:
        self._products = np.zeros((backends, classes, classes))
        self._sums = np.zeros((backends, classes))
        self._ticks, self._time_s, self._ended = np.zeros(backends), np.zeros(backends), np.zeros(backends)
        self._sample_s = self._sampled = 0.0
        self._least_s = inf
        self._average_s = np.full(backends, nan)
        self._waiting = False
        self._share = 0.0

    def reseat(self, kept: Kept) -> None:
        """The pool has other backends."""
        self._products = seated(self._products.T, kept).T.copy()
        self._sums = seated(self._sums.T, kept).T.copy()
        self._ticks, self._time_s = seated(self._ticks, kept), seated(self._time_s, kept)
        self._ended, self._average_s = seated(self._ended, kept), seated(self._average_s, kept, nan)

    def add(
        self,
        requests: Matrix,
        cells: list[list[Cell]],
        before: Matrix | None,
        now: Matrix | None,
        elapsed_s: float,
    ) -> None:
        """Take in a tick.

        Args:
            requests: ``[classes, backends]``; what ended.
            cells: latencies of those that succeeded.
            before, now: ``[backends]``; requests in flight at its begin and end, where known.
            elapsed_s: its length.
        """
        self._look(cells)
        self._share += (1.0 - exp(-elapsed_s / CROWDED_S)) * (self._waiting - self._share)
        kept = exp(-elapsed_s / MEMORY_S)
        for sums in (self._products, self._sums, self._ticks, self._time_s, self._ended):
            sums *= kept
        if before is None or now is None or not self._waiting or not elapsed_s:
            return
        least = np.minimum(before, now)
        ended = requests.sum(axis=0)
        busy = (least >= max(LEAST_IN_FLIGHT, 0.5 * float(least.mean()))) & (ended > 0.0)
        mix = requests.T[busy]
        # The variance of a sum of service times grows with their number.
        worth = 1.0 / ended[busy]
        self._products[busy] += worth[:, None, None] * mix[:, :, None] * mix[:, None, :]
        self._sums[busy] += worth[:, None] * mix * elapsed_s
        self._ticks[busy] += 1.0
        self._time_s[busy] += elapsed_s
        self._ended[busy] += ended[busy]
        average_s = self._average
        self._average_s = average_s + (1.0 - exp(-elapsed_s / AVERAGE_S)) * (self.each_s - average_s)

    def _look(self, cells: list[list[Cell]]) -> None:
        """Whether requests mostly wait, by enough of them that a few long ones do not decide."""
        for own in cells:
            for cell in own:
                self._sample_s += cell.latency_s * cell.requests
                self._sampled += cell.requests
        if self._sampled >= SAMPLE:
            mean_s = self._sample_s / self._sampled
            self._sample_s = self._sampled = 0.0
            self._least_s = min(self._least_s * (1.0 + RELAX), mean_s)
            self._waiting = mean_s > CROWDED * self._least_s

    @property
    def crowded(self) -> bool:
        """Whether requests mostly wait, and it is known what takes how long."""
        return self._share > 0.5 and bool((self._ticks >= KNOWN).any())

    @property
    def trust(self) -> Matrix:
        """``[backends]``: from 0 to 1, how far the times are to be believed."""
        return np.asarray(self._ticks / (self._ticks + 10.0))

    @property
    def each_s(self) -> Matrix:
        """``[backends]``: how often a request ends there, as the time between two."""
        pool_s = float(self._time_s.sum()) / max(float(self._ended.sum()), 1e-9)
        own_s = self._time_s / np.maximum(self._ended, 1e-9)
        return np.asarray(np.where(self._ticks >= KNOWN, own_s, pool_s))

    @property
    def _average(self) -> Matrix:
        return np.where(np.isnan(self._average_s), self.each_s, self._average_s)

    @property
    def seconds(self) -> Matrix:
        """``[classes, backends]``: time of a backend that a request takes, over all that it does at once."""
        classes = self._sums.shape[1]
        mean_s = self.each_s[:, None]
        usual = np.trace(self._products, axis1=1, axis2=2) / classes / np.maximum(self._ticks, 1e-9)
        prior = PRIOR * np.maximum(usual, 1e-9)[:, None]
        sums = self._sums + prior * self._average[:, None]
        found_s = np.linalg.solve(self._products + prior[:, :, None] * np.eye(classes), sums[:, :, None])
        return np.asarray(np.clip(found_s[:, :, 0], mean_s / FREAK, mean_s * FREAK).T)
