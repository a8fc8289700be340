"""Every kind of fault by its name."""

from typing import Annotated

from pydantic import Field

from simulator.faults.antagonist import Antagonist
from simulator.faults.away import Away
from simulator.faults.cold_start import ColdStart
from simulator.faults.crash import Crash
from simulator.faults.fail import Fail
from simulator.faults.fault import Fault
from simulator.faults.hang import Hang
from simulator.faults.leak import Leak
from simulator.faults.pause import Pause
from simulator.faults.slow import Slow
from simulator.faults.tail import Tail

FAULTS: dict[str, type[Fault]] = {
    "slow": Slow,
    "pause": Pause,
    "crash": Crash,
    "hang": Hang,
    "fail": Fail,
    "tail": Tail,
    "cold_start": ColdStart,
    "away": Away,
    "leak": Leak,
    "antagonist": Antagonist,
}

AnyFault = Annotated[
    Slow | Pause | Crash | Hang | Fail | Tail | ColdStart | Away | Leak | Antagonist, Field(discriminator="kind")
]
"""A fault as a scenario has it; `kind` says which."""
