"""Latency histograms with the buckets that the metrics export."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets, inclusive: from a cache on the same host to the default request timeout."""


class Histogram:
    """One histogram per backend and request class.

    Attributes:
        counts: int64 ``[backends, classes, len(BOUNDS_S) + 1]``, each bucket by itself; the last one
            holds what is above every bound.
        sums: float64 ``[backends, classes]``; in seconds.
    """

    def __init__(self, backends: int, classes: int) -> None:
        self.counts: Counts = np.zeros((backends, classes, len(BOUNDS_S) + 1), dtype=np.int64)
        self.sums: Floats = np.zeros((backends, classes))

    def add(self, backend: npt.NDArray[Any], request_class: npt.NDArray[Any], seconds: npt.NDArray[Any]) -> None:
        """Count ``seconds[i]`` for ``backend[i]`` and ``request_class[i]``; NaN is not counted."""
        known = ~np.isnan(seconds)
        series = (backend[known], request_class[known])
        seconds = seconds[known].astype(np.float64)
        np.add.at(self.counts, (*series, np.searchsorted(BOUNDS_S, seconds, side="left")), 1)
        np.add.at(self.sums, series, seconds)
