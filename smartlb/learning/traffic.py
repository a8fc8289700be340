"""What is usual in a pool: its latency and load, by which models are scaled, and its mix of classes."""

from dataclasses import dataclass
from math import exp, inf

import numpy as np

from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.seats import Kept, seated

UNKNOWN_S = 0.001
"""Cost of a request, and of each in flight, before anything is known; the same everywhere, so only equality counts."""

MEMORY_S = 3.0
"""Time constant of what is usual."""

FREAK = 32.0
"""Latencies count as at most this multiple of the mean."""

LOAD_MEMORY_S = 10.0
"""Time constant of what a single backend has in flight."""

LOAD_PRIOR = 8.0
"""As how many requests the pool's load counts beside a backend's own."""

RECALLED = 20.0
"""As how many requests what was usual before a restart counts."""

RAREST = 0.01
"""Added to every class's share, so that a class that has become rare is still spread."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What is usual; models learn multiples of it, so that one set of constants suits all pools.

    Attributes:
        latency_s: mean latency.
        in_flight: mean requests in flight at a backend at dispatch, at least 1.
    """

    latency_s: float = 2.0 * UNKNOWN_S
    in_flight: float = 1.0


class Traffic:
    """A pool's traffic, older requests counting less.

    Args:
        classes: how many request classes there are.
        backends: how many backends the pool has.

    Attributes:
        scale: of the successful requests; what holds before the first is a guess.
        successes: how many there were, older ones counting less; above 0 once there was one.
    """

    def __init__(self, classes: int, backends: int) -> None:
        self._by_class = np.zeros(classes)
        self._found, self._counted = np.zeros(backends), np.zeros(backends)
        self.scale = Scale()
        self.successes = 0.0

    def add(self, requests: Matrix, cells: list[list[Cell]], elapsed_s: float) -> None:
        """Take in a tick: ``[classes, backends]`` requests, and the latencies of those that succeeded."""
        kept = exp(-elapsed_s / MEMORY_S)
        if requests.any():  # a quiet night forgets nothing
            self._by_class = self._by_class * kept + requests.sum(axis=1)
        load_kept = exp(-elapsed_s / LOAD_MEMORY_S)
        self._found *= load_kept
        self._counted *= load_kept
        for at, own in enumerate(cells):
            for cell in own:
                self._found[at] += cell.in_flight * cell.requests
                self._counted[at] += cell.requests
        flat = [cell for own in cells for cell in own]
        count = sum(cell.requests for cell in flat)
        if not count:
            return
        old = self.successes * kept
        self.successes = old + count
        latency_s = sum(cell.latency_s * cell.requests for cell in flat) + old * self.scale.latency_s
        in_flight = sum(cell.in_flight * cell.requests for cell in flat) + old * self.scale.in_flight
        self.scale = Scale(
            max(latency_s / self.successes, 1e-6),
            max(in_flight / self.successes, 1.0),
        )

    def reseat(self, kept: Kept) -> None:
        """The pool has other backends."""
        self._found, self._counted = seated(self._found, kept), seated(self._counted, kept)

    @property
    def loads(self) -> Matrix:
        """``[backends]``: mean requests in flight that requests find at each, at least 1."""
        return np.maximum((self._found + LOAD_PRIOR * self.scale.in_flight) / (self._counted + LOAD_PRIOR), 1.0)

    @property
    def by_class(self) -> Matrix:
        """``[classes]``: requests, older ones counting less."""
        return self._by_class

    def recall(self, scale: Scale, successes: float, by_class: Matrix) -> None:
        """Begin anew from what was usual before, which counts as at most `RECALLED` requests."""
        self.scale = scale
        self.successes = min(successes, RECALLED)
        self._by_class = by_class * min(1.0, RECALLED / max(float(by_class.sum()), 1.0))

    @property
    def mix(self) -> Matrix:
        """``[classes]``: shares of the traffic; a little more than 1 in sum, as none is ever nothing."""
        total = float(self._by_class.sum())
        return np.asarray(self._by_class / total if total else self._by_class) + RAREST

    @property
    def longest_s(self) -> float:
        """Latencies above this are to count as this."""
        return FREAK * self.scale.latency_s if self.successes else inf
