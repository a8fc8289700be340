"""pause: the backend stands still, as in a garbage collection or a stolen virtual processor, then goes on."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from simulator.faults.condition import Condition, Spell
from simulator.faults.fault import Fault


class Pause(Fault):
    """A backend stands still; requests wait meanwhile and none is lost."""

    kind: Literal["pause"] = Field(description="`pause`.")
    pause_s: float = Field(default=0.5, gt=0, le=3600, description="How long each pause is.")
    every_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Time from one to the next until `ends_s`; one only where not given."
    )

    @model_validator(mode="after")
    def _ends(self) -> "Pause":
        if self.every_s is not None and self.ends_s is None:
            raise ValueError("expected `ends_s` beside `every_s`: pauses that repeat need an end")
        if self.every_s is not None and self.every_s <= self.pause_s:
            raise ValueError(f"expected `every_s` above `pause_s`, which is {self.pause_s:g}")
        return self

    def spells(self, backends: Sequence[int], rng: np.random.Generator) -> Iterator[Spell]:
        """One or many; backends that pause repeatedly do not do so together."""
        for backend in backends:
            starts_s = self.starts_s
            if self.every_s is not None:
                starts_s += float(rng.random()) * self.every_s
            while starts_s < self.end_s:
                yield Spell(backend, starts_s, starts_s + self.pause_s, Condition(speed=0.0))
                if self.every_s is None:
                    break
                starts_s += self.every_s
