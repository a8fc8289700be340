"""even: one request after another, with the same gap between any two."""

from collections.abc import Iterator
from itertools import count
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.arrivals.process import CHUNK, Process, Times


class Even(Process):
    """Requests with constant gaps."""

    kind: Literal["even"] = Field(default="even", description="Requests with constant gaps.")

    def times(self, rate: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Times]:  # noqa: ARG002
        """Arrival times, the first after one gap; see `Process.times`. Nothing is drawn."""
        return (np.arange(begin, begin + chunk, dtype=np.float64) / rate for begin in count(1, chunk))
