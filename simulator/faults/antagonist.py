"""antagonist: a neighbour on the same machine that takes most of it, and moves from backend to backend."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.faults.condition import Condition, Spell
from simulator.faults.fault import Fault


class Antagonist(Fault):
    """Some backends at a time are slower; which ones changes, at random, among those that are named."""

    kind: Literal["antagonist"] = Field(description="`antagonist`.")
    at_once: int = Field(default=1, ge=1, description="How many backends are slower at a time.")
    factor: float = Field(default=4.0, gt=1, le=1000, description="How many times slower they are.")
    moves_every_s: float = Field(default=5.0, gt=0, le=86_400, description="How long it stays.")
    ends_s: float = Field(gt=0, le=10_000_000, description="When it goes for good.")

    def spells(self, backends: Sequence[int], rng: np.random.Generator) -> Iterator[Spell]:
        """One stay after the other."""
        starts_s = self.starts_s
        while starts_s < self.ends_s:
            ends_s = min(starts_s + self.moves_every_s, self.ends_s)
            for backend in rng.choice(list(backends), min(self.at_once, len(backends)), replace=False).tolist():
                yield Spell(backend, starts_s, ends_s, Condition(speed=1.0 / self.factor))
            starts_s = ends_s
