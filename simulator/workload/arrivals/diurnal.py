"""diurnal: the rate rises and falls like a sinusoid, as it does over days."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.arrivals.process import CHUNK, Process, Times, ascending, unit_poisson

_STEPS = 4096  # of a period within which the rate counts as constant


class Diurnal(Process):
    """Poisson arrivals at a rate of ``rate * (1 + amplitude * sin(2 pi t / period_s))``."""

    kind: Literal["diurnal"] = Field(default="diurnal", description="The rate rises and falls like a sinusoid.")
    amplitude: float = Field(
        default=0.6, ge=0, le=1, description="Highest and lowest rate lie this share off the mean."
    )
    period_s: float = Field(default=86_400.0, gt=0, le=31_536_000, description="Time from one peak to the next.")
    start_s: float = Field(
        default=0.0,
        ge=0,
        le=31_536_000,
        description="Where in the period time begins; at 0 the rate is the mean, rising.",
    )

    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:
        """Arrival times; `rate` is the mean over a period. See `Process.times`."""
        turn = np.linspace(0.0, 1.0, _STEPS + 1)
        # Requests expected since the period's beginning, in units of a whole period's.
        expected = turn + self.amplitude * (1 - np.cos(2 * np.pi * turn)) / (2 * np.pi)
        start = self.start_s / self.period_s
        skipped = np.floor(start) + np.interp(start % 1.0, turn, expected)

        def mapped(sums: Times) -> Times:
            periods = sums / (rate * self.period_s) + skipped
            whole = np.floor(periods)
            times: Times = (whole + np.interp(periods - whole, expected, turn) - start) * self.period_s
            return times

        return ascending(map(mapped, unit_poisson(rng, chunk)))
