"""hang: requests are taken and never answered; each ends with the router's timeout."""

from typing import Literal

from pydantic import Field

from simulator.faults.condition import Condition
from simulator.faults.fault import Fault


class Hang(Fault):
    """A backend takes requests and never answers."""

    kind: Literal["hang"] = Field(description="`hang`.")

    @property
    def condition(self) -> Condition:
        """Hanging."""
        return Condition(hanging=True)
