"""crash: the process is gone; what it had under way is reset and connections are refused at once."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Crash(Fault):
    """A backend refuses connections."""

    kind: Literal["crash"] = Field(description="`crash`.")

    @property
    def condition(self) -> Condition:
        """Crashed."""
        return Condition(crashed=True)
