"""flash_crowd: a constant rate, then suddenly many times as much, and back."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.arrivals.process import CHUNK, Process, Times, ascending, unit_poisson


class FlashCrowd(Process):
    """Poisson arrivals whose rate climbs to a multiple, stays, and falls back, each in a straight line."""

    kind: Literal["flash_crowd"] = Field(default="flash_crowd", description="A constant rate with one surge.")
    factor: float = Field(default=5.0, ge=1, le=1000, description="Rate of the surge over the rate before it.")
    start_s: float = Field(default=60.0, ge=0, le=31_536_000, description="When the rate begins to climb.")
    ramp_s: float = Field(default=10.0, ge=0, le=31_536_000, description="Time the climb takes.")
    hold_s: float = Field(default=60.0, ge=0, le=31_536_000, description="Time at the highest rate.")
    decay_s: float = Field(default=60.0, ge=0, le=31_536_000, description="Time the fall takes.")

    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:
        """Arrival times; `rate` is that before and after the surge. See `Process.times`."""
        length = np.array([self.start_s, self.ramp_s, self.hold_s, self.decay_s])
        at_s = np.concatenate(([0.0], np.cumsum(length)))
        begins = rate * np.array([1.0, 1.0, self.factor, self.factor, 1.0])
        ends = rate * np.array([1.0, self.factor, self.factor, 1.0])
        expected = np.concatenate(([0.0], np.cumsum(length * (begins[:-1] + ends) / 2)))
        # The rate's slope in each part; the last part goes on for ever, and one of no length has none.
        slope = np.append(np.divide(ends - begins[:-1], length, out=np.zeros(4), where=length > 0), 0.0)

        def mapped(sums: Times) -> Times:
            part = np.searchsorted(expected, sums, side="right") - 1
            beyond = sums - expected[part]
            # Solves begins * t + slope * t**2 / 2 = beyond, without cancellation and for a slope of zero too.
            root = np.sqrt(np.maximum(begins[part] ** 2 + 2 * slope[part] * beyond, 0.0))
            times: Times = at_s[part] + 2 * beyond / (begins[part] + root)
            return times

        return ascending(map(mapped, unit_poisson(rng, chunk)))
