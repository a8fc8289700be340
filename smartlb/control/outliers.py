"""Backends that do worse than the others of their pool over an interval: by share of successes, or by latency.

The first is Envoy's success rate detection, with its defaults
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier#success-rate). Envoy has none for
latency; here medians are compared, which a few slow answers do not move, and the pool's is the median over its
backends' medians, which a slow backend does not move.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Ejection, LatencyOutliers, SuccessRate


@dataclass(frozen=True, slots=True)
class Outlier:
    """A backend that stands out.

    Attributes:
        position: in its pool.
        reason: in words.
    """

    position: int
    reason: str


class Interval:
    """Collects one pool's requests, and compares its backends at the end of each interval.

    Args:
        settings: what is compared, and how long an interval is.
        size: backends in the pool.
    """

    def __init__(self, settings: Ejection, size: int) -> None:
        self._settings = settings
        self._size = size
        self._end_s: float | None = None
        self._requests = np.zeros(size, np.int64)
        self._successes = np.zeros(size, np.int64)
        self._latencies: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = []
        self._slow_in_a_row = np.zeros(size, np.int64)

    def add(
        self, position: npt.NDArray[np.intp], failed: npt.NDArray[np.bool_], latency_s: npt.NDArray[np.float64]
    ) -> None:
        """Take in requests that backends have answered or failed; the arrays go together.

        Args:
            position: of the backend in the pool.
            failed: by the backend's doing.
            latency_s: to the first byte; of a failed request it is not looked at.
        """
        np.add.at(self._requests, position, 1)
        np.add.at(self._successes, position[~failed], 1)
        if self._settings.latency is not None:
            self._latencies.append((position[~failed], latency_s[~failed]))

    def forget(self, position: int) -> None:
        """Another backend has this position now."""
        self._requests[position] = self._successes[position] = self._slow_in_a_row[position] = 0
        self._latencies = [(at[kept := at != position], latency_s[kept]) for at, latency_s in self._latencies]

    def close(self, now_s: float) -> list[Outlier]:
        """The backends that stood out, worst first, where an interval is over now; and the next one begins."""
        if self._end_s is None:
            self._end_s = now_s + self._settings.interval_s
        if now_s < self._end_s:
            return []
        self._end_s = now_s + self._settings.interval_s
        found = []
        if self._settings.success_rate is not None:
            found += self._failing(self._settings.success_rate)
        if self._settings.latency is not None:
            known = {outlier.position for outlier in found}
            found += [outlier for outlier in self._slow(self._settings.latency) if outlier.position not in known]
        self._requests[:] = self._successes[:] = 0
        self._latencies.clear()
        return found

    def _failing(self, settings: SuccessRate) -> list[Outlier]:
        enough = np.flatnonzero(self._requests >= settings.min_requests)
        if len(enough) < settings.min_backends:
            return []
        rate = self._successes[enough] / self._requests[enough]
        least = float(rate.mean() - settings.stdev_factor * rate.std())
        return [
            Outlier(
                int(enough[at]),
                f"{rate[at]:.1%} of {self._requests[enough[at]]} requests succeeded, less than {least:.1%}",
            )
            for at in np.argsort(rate, kind="stable")
            if rate[at] < least
        ]

    def _slow(self, settings: LatencyOutliers) -> list[Outlier]:
        enough = self._successes >= settings.min_requests
        if enough.sum() < settings.min_backends:
            self._slow_in_a_row[:] = 0
            return []
        position = np.concatenate([each for each, _ in self._latencies])
        latency_s = np.concatenate([each for _, each in self._latencies])
        median_s = np.full(self._size, np.nan)
        for backend in np.flatnonzero(enough):
            median_s[backend] = np.median(latency_s[position == backend])
        usual_s = float(np.median(median_s[enough]))
        # What has too few requests is nan, which is not slow.
        slow = median_s > settings.factor * usual_s
        self._slow_in_a_row = np.where(slow, self._slow_in_a_row + 1, 0)
        late = np.flatnonzero(self._slow_in_a_row >= settings.intervals)
        self._slow_in_a_row[late] = 0
        return [
            Outlier(
                int(at),
                f"median latency {median_s[at] * 1e3:.3g} ms, in the pool {usual_s * 1e3:.3g} ms, "
                f"for {settings.intervals} intervals in a row",
            )
            for at in late[np.argsort(-median_s[late], kind="stable")]
        ]
