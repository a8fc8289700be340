"""leak: a backend becomes slower and slower, as with a leak of memory, until it is restarted and leaks anew."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.faults.condition import Condition, Spell
from simulator.faults.fault import Ramp


class Leak(Ramp):
    """A backend loses speed gradually; at `ends_s` it is restarted and is well again."""

    kind: Literal["leak"] = Field(description="`leak`.")
    factor: float = Field(default=4.0, gt=1, le=1000, description="How many times slower it is at the end.")
    ends_s: float = Field(gt=0, le=10_000_000, description="When it is restarted.")
    restart_s: float = Field(default=0.0, ge=0, le=3600, description="How long it refuses connections then.")

    def spells(self, backends: Sequence[int], rng: np.random.Generator) -> Iterator[Spell]:  # noqa: ARG002
        """Ever slower, then gone for a moment."""
        for backend in backends:
            yield from self.ramp(backend, self.starts_s, self.ends_s, 1.0, 1.0 / self.factor)
            if self.restart_s:
                yield Spell(backend, self.ends_s, self.ends_s + self.restart_s, Condition(crashed=True))
