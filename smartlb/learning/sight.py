"""How much of what is in flight a router sees: little where many routers do not tell each other.

What a router counted when it dispatched, against what was in flight at the backend over the tick: Poisson arrivals see
time averages (Wolff 1982), so for a router that sees everything both are the same on average.
"""

from collections.abc import Sequence
from math import exp

from smartlb.learning.cells import Cell

MEMORY_S = 10.0
"""Time constant."""

LEAST = 3.0
"""In flight, times requests, below which there is too little to judge by."""


class Sight:
    """The share of the requests in flight at a pool's backends that its routers see."""

    def __init__(self) -> None:
        self._seen = self._there = 0.0

    def add(self, cells: Sequence[Sequence[Cell]], loads: Sequence[float | None], elapsed_s: float) -> None:
        """Take in a tick: what its requests found, by backend, and the mean in flight, where it is known."""
        kept = exp(-elapsed_s / MEMORY_S)
        self._seen *= kept
        self._there *= kept
        for own, load in zip(cells, loads, strict=True):
            if load is not None:
                for cell in own:
                    self._seen += cell.in_flight * cell.requests
                    self._there += load * cell.requests

    @property
    def share(self) -> float:
        """From 0 to 1; 1 where too little is known."""
        return min(self._seen / self._there, 1.0) if self._there > LEAST else 1.0
