"""A scenario: what comes, who serves it, what goes wrong; the model of the YAML files in `simulator/scenarios`."""

from typing import Annotated

from pydantic import Field, model_validator

from simulator.faults.registry import AnyFault
from simulator.fleet import Group
from simulator.workload.workload import Workload
from smartlb.config.model import Ejection, HealthCheck, Learner, Section
from smartlb.config.values import Seconds


class Load(Section):
    """How much comes; time is scaled to reach it, and the report says by how much."""

    utilisation: float | None = Field(
        default=None, gt=0, le=100, description="Share of what the fleet carries at best while it is well."
    )
    rate: float | None = Field(default=None, gt=0, le=1e9, description="Mean requests a second.")
    speedup: float | None = Field(
        default=None, gt=0, le=1e9, description="How many times faster than recorded a trace is replayed."
    )

    @model_validator(mode="after")
    def _one(self) -> "Load":
        if sum(value is not None for value in (self.utilisation, self.rate, self.speedup)) != 1:
            raise ValueError("expected exactly one of `utilisation`, `rate` and `speedup`")
        return self


class Routers(Section):
    """The routers in front of the fleet; all have the same policy, the same learner and the same health checks."""

    count: int = Field(default=1, ge=1, le=1000, description="How many there are; requests come to each alike.")
    share_in_flight: bool = Field(
        default=True, description="Whether they see each other's requests in flight, as the workers of one node do."
    )
    telemetry_delay_s: float = Field(
        default=0.02, ge=0, le=60, description="How old records are at least when learner and ejection get them."
    )


class Scenario(Section):
    """A whole scenario."""

    description: str = Field(min_length=1, description="What it shows, in a sentence or two.")
    duration_s: Annotated[float, Field(gt=0, le=10_000_000)] = Field(
        default=60.0, description="How long requests come, in simulated time; a trace may end before."
    )
    warmup_s: float = Field(default=10.0, ge=0, description="What comes before counts for no figure.")
    workload: Workload = Field(description="What comes.")
    load: Load = Field(default=Load(utilisation=0.7), description="How much of it.")
    fleet: list[Group] = Field(min_length=1, description="Who serves it.")
    faults: list[AnyFault] = Field(default=[], description="What goes wrong; faults at one time add up.")
    routers: Routers = Field(default=Routers(), description="Who decides.")
    timeout_s: Seconds = Field(default=30.0, description="From dispatch to the end of a response; then 504.")
    health_check: HealthCheck | None = Field(
        default=HealthCheck(), description="As in the router's configuration; null switches them off."
    )
    ejection: Ejection | None = Field(
        default=Ejection(), description="As in the router's configuration; null switches it off."
    )
    learner: Learner = Field(default=Learner(), description="As in the router's configuration.")

    @model_validator(mode="after")
    def _something_counts(self) -> "Scenario":
        if self.warmup_s >= self.duration_s:
            raise ValueError(f"expected `warmup_s` below `duration_s`, which is {self.duration_s:g}")
        return self

    @model_validator(mode="after")
    def _no_file(self) -> "Scenario":
        if self.learner.checkpoint is not None:
            raise ValueError("expected no `learner.checkpoint`: give the command `--checkpoint FILE`")
        return self
