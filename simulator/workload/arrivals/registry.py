"""Every arrival process by its kind."""

from typing import Annotated

from pydantic import Field

from simulator.workload.arrivals.bursts import Bursts
from simulator.workload.arrivals.diurnal import Diurnal
from simulator.workload.arrivals.even import Even
from simulator.workload.arrivals.flash_crowd import FlashCrowd
from simulator.workload.arrivals.poisson import Poisson
from simulator.workload.arrivals.process import Process

ARRIVALS: dict[str, type[Process]] = {
    process.model_fields["kind"].default: process for process in (Poisson, Even, Bursts, Diurnal, FlashCrowd)
}

Arrivals = Annotated[Poisson | Even | Bursts | Diurnal | FlashCrowd, Field(discriminator="kind")]
"""Any of them, told apart by `kind`."""
