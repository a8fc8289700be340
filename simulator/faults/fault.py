"""What a fault is: a section of a scenario that says which backends are in which condition when."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from simulator.faults.condition import Condition, Spell
from smartlb.config.model import Section
from smartlb.config.values import Name

Moment = Annotated[float, Field(ge=0, le=10_000_000)]
"""Seconds from the run's start."""


class Fault(Section):
    """The base of all faults."""

    backends: list[Name] = Field(default=[], description="Backends by name; a group's name means all of its backends.")
    random: int = Field(default=0, ge=0, description="This many backends at random, instead of `backends`.")
    starts_s: Moment = Field(default=0.0, description="When it begins, from the run's start, warm-up included.")
    ends_s: Moment | None = Field(default=None, description="When it is over; never where not given.")

    @model_validator(mode="after")
    def _somebody_for_some_time(self) -> "Fault":
        if bool(self.backends) == bool(self.random):
            raise ValueError("expected either `backends`, by name, or `random`, a number of them")
        if self.ends_s is not None and self.ends_s <= self.starts_s:
            raise ValueError(f"expected `ends_s` above `starts_s`, which is {self.starts_s:g}")
        return self

    @property
    def end_s(self) -> float:
        """When it is over; infinity for never."""
        return inf if self.ends_s is None else self.ends_s

    @property
    def condition(self) -> Condition:
        """What a backend that has it is like, where that does not change meanwhile."""
        raise NotImplementedError

    def spells(self, backends: Sequence[int], rng: np.random.Generator) -> Iterator[Spell]:  # noqa: ARG002
        """Which backends are in which condition when.

        Args:
            backends: the indices that `backends` or `random` stand for.
            rng: of this fault.
        """
        for backend in backends:
            yield Spell(backend, self.starts_s, self.end_s, self.condition)


class Ramp(Fault):
    """The base of faults that come or go gradually, in steps."""

    STEPS: ClassVar[int] = 20

    def ramp(self, backend: int, starts_s: float, ends_s: float, first: float, last: float) -> Iterator[Spell]:
        """A speed that goes from `first` to `last` by equal factors."""
        for step in range(self.STEPS):
            share = (step + 0.5) / self.STEPS
            speed = first ** (1.0 - share) * last**share
            begins_s, is_over_s = (starts_s + (ends_s - starts_s) * at / self.STEPS for at in (step, step + 1))
            yield Spell(backend, begins_s, is_over_s, Condition(speed=speed))
