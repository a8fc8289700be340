"""cold_start: a backend that has just come is slow at first: empty caches, code not compiled yet."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.faults.condition import Condition, Spell
from simulator.faults.fault import Ramp


class ColdStart(Ramp):
    """A backend joins the pool at `starts_s` and warms up; it leaves at `ends_s`."""

    kind: Literal["cold_start"] = Field(description="`cold_start`.")
    first_speed: float = Field(default=0.2, gt=0, lt=1, description="Share of its speed that it has at first.")
    warms_up_s: float = Field(default=5.0, gt=0, le=3600, description="How long it takes to be warm.")

    def spells(self, backends: Sequence[int], rng: np.random.Generator) -> Iterator[Spell]:  # noqa: ARG002
        """Absent, then ever faster."""
        for backend in backends:
            if self.starts_s > 0.0:
                yield Spell(backend, 0.0, self.starts_s, Condition(absent=True))
            yield from self.ramp(backend, self.starts_s, self.starts_s + self.warms_up_s, self.first_speed, 1.0)
            if self.end_s < inf:
                yield Spell(backend, self.end_s, inf, Condition(absent=True))
