"""tail: few requests take much longer, the kind of fault that averages hide."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Tail(Fault):
    """Some of a backend's requests take much longer than their work."""

    kind: Literal["tail"] = Field(description="`tail`.")
    probability: float = Field(default=0.01, gt=0, le=1, description="Of a request to be slow.")
    factor: float = Field(default=10.0, gt=1, le=10_000, description="How many times longer it then takes.")

    @property
    def condition(self) -> Condition:
        """With a tail."""
        return Condition(tail=self.probability, tail_factor=self.factor)
