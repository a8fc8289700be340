"""bursts: quiet and busy times alternate, each of them of random length.

A Markov-modulated Poisson process with two states (Fischer and Meier-Hellstern, "The Markov-modulated Poisson process
cookbook", Performance Evaluation 18, 1993).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.arrivals.process import CHUNK, Process, Times, ascending, unit_poisson

_STATES = 1024  # drawn at once; even, so that every such group begins with the same state


class Bursts(Process):
    """Poisson arrivals whose rate jumps up for a time and down again."""

    kind: Literal["bursts"] = Field(default="bursts", description="Quiet and busy times alternate.")
    factor: float = Field(default=3.0, ge=1, le=1000, description="Rate in a burst over the rate outside bursts.")
    burst_s: float = Field(default=1.0, gt=0, le=86_400, description="Mean length of a burst.")
    quiet_s: float = Field(default=9.0, gt=0, le=86_400, description="Mean time between bursts.")

    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:
        """Arrival times; `rate` is the mean over quiet and busy times. See `Process.times`."""
        # The states have a generator of their own: which numbers they get must not depend on `chunk`.
        states = np.random.default_rng(rng.integers(2**63, size=4))
        return ascending(self._mapped(unit_poisson(rng, chunk), self._switches(rate, states)))

    @staticmethod
    def _mapped(unit: Iterator[Times], switches: Iterator[tuple[Times, Times, Times]]) -> Iterator[Times]:
        at_s, expected, slope = next(switches)
        for sums in unit:
            times = np.empty(len(sums))
            done = 0
            while done < len(sums):
                if sums[done] >= expected[-1]:
                    at_s, expected, slope = next(switches)
                    continue
                reached = int(np.searchsorted(sums, expected[-1]))
                part = sums[done:reached]
                state = np.searchsorted(expected, part, side="right") - 1
                times[done:reached] = at_s[state] + (part - expected[state]) / slope[state]
                done = reached
            yield times

    def _switches(self, rate: float, rng: np.random.Generator) -> Iterator[tuple[Times, Times, Times]]:
        """When states begin, and the last of them ends; the requests expected until then; and each state's rate."""
        quiet = rate * (self.quiet_s + self.burst_s) / (self.quiet_s + self.factor * self.burst_s)
        lengths = np.array([self.quiet_s, self.burst_s])
        slopes = np.array([quiet, quiet * self.factor])
        if rng.random() * (self.quiet_s + self.burst_s) < self.burst_s:  # a stationary process begins anywhere
            lengths, slopes = lengths[::-1], slopes[::-1]
        slope = np.tile(slopes, _STATES // 2)
        begins_s = begins_expected = 0.0
        while True:
            length = rng.standard_exponential(_STATES) * np.tile(lengths, _STATES // 2)
            at_s = np.cumsum(np.concatenate(([begins_s], length)))
            expected = np.cumsum(np.concatenate(([begins_expected], length * slope)))
            yield at_s, expected, slope
            begins_s, begins_expected = float(at_s[-1]), float(expected[-1])
