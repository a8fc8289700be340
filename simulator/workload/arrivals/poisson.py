"""poisson: requests come independently of each other, as those of many clients do."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.arrivals.process import CHUNK, Process, Times, unit_poisson


class Poisson(Process):
    """Independent requests at a constant rate."""

    kind: Literal["poisson"] = Field(default="poisson", description="Independent requests at a constant rate.")

    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:
        """Arrival times with exponential gaps; see `Process.times`."""
        return (times / rate for times in unit_poisson(rng, chunk))
