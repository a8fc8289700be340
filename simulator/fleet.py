"""The fleet: groups of backends as a scenario has them, what each backend then is, and how much they carry together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from simulator.kernel.state import Server
from simulator.measured import Measured
from simulator.workload.request import Array
from smartlb.config.model import Section
from smartlb.config.values import Name

Speed = Annotated[float, Field(gt=0, le=10_000)]


class Group(Section):
    """Backends that are alike."""

    name: Name = Field(description="Of the backend, or of the group: its backends are then NAME-1, NAME-2 and so on.")
    count: int = Field(default=1, ge=1, le=10_000, description="How many there are.")
    cores: int = Field(default=1, ge=1, le=10_000, description="How many requests progress at full speed at once.")
    speed: Speed = Field(default=1.0, description="Work done in a second by one core, in seconds of work.")
    class_speed: dict[Name, Speed] = Field(default={}, description="The same for request classes that differ.")
    measured_speed: Measured | None = Field(
        default=None, description="Draw each backend's speed from measurements, as a factor on `speed`."
    )
    discipline: Literal["fifo", "sharing", "batching"] = Field(
        default="fifo",
        description="`fifo`: as many requests as cores, the others wait; `sharing`: all at once, sharing the cores; "
        "`batching`: up to `batch` at once, each of them slowing all.",
    )
    batch: int = Field(default=64, ge=1, le=10_000, description="Most requests in a batch.")
    batch_growth: float = Field(
        default=0.02, ge=0, le=10, description="By how much each further request in the batch slows all of them."
    )
    queue: int = Field(
        default=1000,
        ge=0,
        le=10_000_000,
        description="Requests that may wait, or share beyond the cores; more get 503.",
    )
    round_trip_s: float = Field(default=0.001, ge=0, le=60, description="Of the network between router and backend.")
    weight: float = Field(
        default=1.0, gt=0, le=256, description="As an operator configures it, for policies with weights."
    )

    @model_validator(mode="after")
    def _batching_alone(self) -> "Group":
        for key in ("batch", "batch_growth"):
            if getattr(self, key) != Group.model_fields[key].default and self.discipline != "batching":
                raise ValueError(f"expected `discipline: batching` beside `{key}`")
        if self.discipline == "batching" and self.cores > 1:
            raise ValueError("expected `batch` alone: with `discipline: batching` there is nothing that `cores` says")
        return self

    @property
    def names(self) -> Sequence[str]:
        """Of its backends."""
        return [self.name] if self.count == 1 else [f"{self.name}-{number}" for number in range(1, self.count + 1)]


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend, resolved.

    Attributes:
        name: unique in the fleet.
        group: that it is of.
        server: what it is for the kernel.
        weight: as configured.
    """

    name: str
    group: str
    server: Server
    weight: float

    @property
    def parallel(self) -> float:
        """Work a second that it does at speed 1, with as many requests as it takes at once."""
        server = self.server
        at_once = min(float(server.slots), server.cores)
        return at_once / (1.0 + server.growth * (server.slots - 1.0)) if server.growth else at_once


def backends(groups: Sequence[Group], classes: Sequence[str], rng: np.random.Generator) -> list[Backend]:
    """Every backend of a fleet; `rng` draws measured speeds."""
    return [backend for group in groups for backend in _members(group, classes, rng)]


def _members(group: Group, classes: Sequence[str], rng: np.random.Generator) -> Iterator[Backend]:
    factors = group.measured_speed.draw(rng, group.count) if group.measured_speed else np.ones(group.count)
    for name, factor in zip(group.names, factors.tolist(), strict=True):
        speed = tuple(factor * group.class_speed.get(name, group.speed) for name in classes)
        yield Backend(name, group.name, _server(group, speed), group.weight)


def _server(group: Group, speed: tuple[float, ...]) -> Server:
    trip_s = group.round_trip_s
    match group.discipline:
        case "batching":
            return Server(group.batch, float(group.batch), group.batch_growth, group.batch + group.queue, trip_s, speed)
        case "sharing":
            room = group.cores + group.queue
            return Server(room, float(group.cores), 0.0, room, trip_s, speed)
        case "fifo":
            return Server(group.cores, float(group.cores), 0.0, group.cores + group.queue, trip_s, speed)


def capacity(fleet: Sequence[Backend], work: Array) -> Array:
    """Work a second that each backend does, of a workload's mix.

    Args:
        fleet: the backends.
        work: ``[classes]``; share of the workload's work that each class is.
    """
    return np.array([
        backend.parallel / sum(share / speed for share, speed in zip(work, backend.server.speed, strict=True))
        for backend in fleet
    ])  # fmt: skip


def highest_rate(fleet: Sequence[Backend], share: Array, mean_work_s: Array) -> float:
    """Requests a second that a fleet carries at best, every request being placed perfectly.

    The largest rate for which some split of the classes over the backends leaves none of them overloaded: a linear
    program over what goes where.

    Args:
        fleet: the backends, all of them well.
        share: ``[classes]``; of the requests.
        mean_work_s: ``[classes]``; mean work of a request.
    """
    from scipy.optimize import linprog

    classes = len(share)
    parallel = np.array([backend.parallel for backend in fleet])
    speed = np.array([backend.server.speed for backend in fleet])
    # Alike backends are one: the program then has a size that does not grow with the fleet.
    kinds, kind_of = np.unique(speed, axis=0, return_inverse=True)
    room = np.bincount(kind_of.ravel(), parallel, len(kinds))
    cost = (mean_work_s[None, :] / kinds).ravel()
    # Variables: the rate, then how much of each class goes to each kind.
    size = 1 + len(kinds) * classes
    split = np.zeros((classes, size))
    split[:, 0] = -share
    busy = np.zeros((len(kinds), size))
    for kind in range(len(kinds)):
        for request_class in range(classes):
            at = 1 + kind * classes + request_class
            split[request_class, at] = 1.0
            busy[kind, at] = cost[kind * classes + request_class]
    best = linprog(
        [-1.0] + [0.0] * (size - 1), A_ub=busy, b_ub=room, A_eq=split, b_eq=np.zeros(classes), bounds=(0, None)
    )
    return float(best.x[0]) if best.success else inf


def positions(fleet: Sequence[Backend]) -> Mapping[str, Sequence[int]]:
    """The indices that a backend's or a group's name stands for."""
    found: dict[str, list[int]] = {}
    for index, backend in enumerate(fleet):
        for name in {backend.name, backend.group}:
            found.setdefault(name, []).append(index)
    return found
