"""away: a backend is not in the pool; with an end it joins, with a start it leaves, with both it is away for a time."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Away(Fault):
    """A backend is drained, and not in the pool for a time; what it has under way it finishes."""

    kind: Literal["away"] = Field(description="`away`.")

    @property
    def condition(self) -> Condition:
        """Absent."""
        return Condition(absent=True)
