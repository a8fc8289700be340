"""slow: everything takes longer by a factor, also what is under way."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Slow(Fault):
    """A backend is slower by a factor."""

    kind: Literal["slow"] = Field(description="`slow`.")
    factor: float = Field(default=4.0, gt=1, le=1000, description="How many times longer everything takes.")

    @property
    def condition(self) -> Condition:
        """Its speed, divided."""
        return Condition(speed=1.0 / self.factor)
