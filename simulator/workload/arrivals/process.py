"""What every arrival process offers."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Section

Times = npt.NDArray[np.float64]
"""Times in seconds, ascending."""

CHUNK = 32_768
"""Arrivals that are made at once: they fit the cache of a core, and a call's cost is nothing to them."""


class Process(Section):
    """A way in which requests come; every process has a `kind` that names it."""

    @abstractmethod
    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:
        """Arrival times from 0 on, without end.

        Args:
            rate: requests a second, above zero; over a long time, or as the process documents it.
            rng: of all the draws.
            chunk: length of each array; it changes nothing about the times.
        """


def unit_poisson(rng: np.random.Generator, chunk: int) -> Iterator[Times]:
    """Arrival times of a Poisson process with one arrival a second."""
    last = 0.0
    while True:
        gaps = rng.standard_exponential(chunk)
        gaps[0] += last  # the sums run on from array to array as they would in one
        times = np.cumsum(gaps)
        last = float(times[-1])
        yield times


def ascending(chunks: Iterator[Times]) -> Iterator[Times]:
    """The same times, without the steps back by a rounding error that a calculation in parts may have made."""
    last = 0.0
    for times in chunks:
        times[0] = max(float(times[0]), last)
        np.maximum.accumulate(times, out=times)
        last = float(times[-1])
        yield times
