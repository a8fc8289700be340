"""fail: some or all requests are answered 500 at once, which draws traffic to where it should not go."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Fail(Fault):
    """A backend fails requests quickly."""

    kind: Literal["fail"] = Field(description="`fail`.")
    probability: float = Field(default=1.0, gt=0, le=1, description="Of a request to fail.")

    @property
    def condition(self) -> Condition:
        """Failing."""
        return Condition(fail=self.probability)
