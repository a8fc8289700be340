"""From a scenario and a seed to all that is fixed before the first request comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from simulator.faults.condition import Change, Spell, changes
from simulator.faults.fault import Fault
from simulator.fleet import Backend, backends, capacity, highest_rate, positions
from simulator.result import Trouble
from simulator.scenario import Scenario
from simulator.streams import Stream, streams
from simulator.workload.demand import Demand
from simulator.workload.replayed import ReplayedWorkload
from simulator.workload.request import Array
from smartlb.config.problems import unknown_name


class ImpossibleScenario(ValueError):
    """A scenario that is well-formed and cannot be run; the message says why and what to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario with all draws made that do not depend on requests.

    Attributes:
        name: of the scenario.
        scenario: itself.
        seed: of the draws.
        stream: random generators by name.
        demand: what comes.
        rate: requests a second.
        utilisation: of the fleet, all of it being well.
        speedup: of a trace; NaN for generated workloads.
        fleet: the backends.
        capacity: ``[backends]``; work a second, of the workload's mix.
        stand_in: whether generated requests take a trace's place.
        troubles: the faults, for people.
        changes: the faults, for the backends.
    """

    name: str
    scenario: Scenario
    seed: int
    stream: Stream
    demand: Demand
    rate: float
    utilisation: float
    speedup: float
    fleet: Sequence[Backend]
    capacity: Array
    stand_in: bool
    troubles: Sequence[Trouble]
    changes: Sequence[Change]


def plan(name: str, scenario: Scenario, demand: Demand, seed: int) -> Plan:
    """Resolve a scenario.

    Raises:
        ImpossibleScenario: a fault names a backend that there is not, or nothing can be served.
    """
    stream = streams(seed)
    classes = [kind.name for kind in demand.classes]
    fleet = backends(scenario.fleet, classes, stream("fleet"))
    if len({backend.name for backend in fleet}) < len(fleet):
        raise ImpossibleScenario(f"{name}: two backends of the fleet have the same name; names must differ")
    _check_classes(name, scenario, classes)
    share = np.array([kind.share for kind in demand.classes])
    mean_work_s = np.array([kind.work_s for kind in demand.classes])
    best = highest_rate(fleet, share, mean_work_s)
    rate = _rate(name, scenario, demand, best)
    troubles, spells = _faults(name, scenario.faults, fleet, stream)
    return Plan(
        name=name,
        scenario=scenario,
        seed=seed,
        stream=stream,
        demand=demand,
        rate=rate,
        utilisation=rate / best,
        speedup=rate / demand.rate if demand.rate else nan,
        fleet=fleet,
        capacity=capacity(fleet, share * mean_work_s / float(share @ mean_work_s)),
        stand_in=isinstance(scenario.workload, ReplayedWorkload) and demand.count is None,
        troubles=troubles,
        changes=changes(spells),
    )


def _check_classes(name: str, scenario: Scenario, classes: Sequence[str]) -> None:
    for group in scenario.fleet:
        for request_class in group.class_speed:
            if request_class not in classes:
                raise ImpossibleScenario(
                    f"{name}: fleet {group.name}: class_speed: {unknown_name('class', request_class, classes)}"
                )


def _rate(name: str, scenario: Scenario, demand: Demand, best: float) -> float:
    load = scenario.load
    if load.rate is not None:
        return load.rate
    if load.utilisation is not None:
        return load.utilisation * best
    if demand.rate is None:
        raise ImpossibleScenario(f"{name}: load: speedup is for traces; give utilisation or rate for what is generated")
    assert load.speedup is not None
    return load.speedup * demand.rate


def _faults(
    name: str, faults: Sequence[Fault], fleet: Sequence[Backend], stream: Stream
) -> tuple[list[Trouble], list[Spell]]:
    by_name = positions(fleet)
    troubles: list[Trouble] = []
    spells: list[Spell] = []
    for number, fault in enumerate(faults):
        rng = stream(f"fault {number}")
        kind = getattr(fault, "kind", "fault")
        for backend in fault.backends:
            if backend not in by_name:
                raise ImpossibleScenario(
                    f"{name}: faults[{number}] ({kind}): {unknown_name('backend', backend, by_name)}"
                )
        if fault.random > len(fleet):
            raise ImpossibleScenario(
                f"{name}: faults[{number}] ({kind}): random is {fault.random}, but the fleet has {len(fleet)} backends"
            )
        whom = (
            sorted(rng.choice(len(fleet), fault.random, replace=False).tolist())
            if fault.random
            else [at for backend in fault.backends for at in by_name[backend]]
        )
        spells += fault.spells(whom, rng)
        said = ", ".join(fault.backends or [fleet[at].name for at in whom])
        troubles.append(Trouble(f"{kind} {said}", fault.starts_s, fault.end_s))
    return troubles, spells


def overload(planned: Plan) -> str:
    """Why a plan cannot be carried by its fleet, in words; empty where it can."""
    if planned.utilisation >= 1.0:
        return (
            f"{planned.name}: {planned.rate:,.1f} requests/s are {planned.utilisation:.2f} of what the fleet can carry "
            "at best, so queues would grow without end; lower load, or pass --allow-overload"
        )
    away = {change.backend for change in planned.changes if change.at_s <= 0.0 and change.condition.absent}
    back = {change.backend for change in planned.changes if change.at_s > 0.0 and not change.condition.absent}
    if len(away - back) == len(planned.fleet):
        return f"{planned.name}: every backend is away all the time; nobody could serve anything"
    return ""
