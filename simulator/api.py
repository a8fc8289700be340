"""The simulator from Python: scenarios in, runs and DataFrames out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.contenders import contender
from simulator.plan import ImpossibleScenario, overload, plan
from simulator.result import Run
from simulator.scenario import Scenario, load, path_of
from simulator.simulation import Progress, simulate
from simulator.streams import streams
from simulator.workload.workload import prepare


class OverloadWarning(UserWarning):
    """A fleet cannot carry what comes, and is simulated all the same."""


__all__ = ["ImpossibleScenario", "OverloadWarning", "Run", "Scenario", "load", "run"]


def run(
    scenario: Scenario | Mapping[str, Any] | str,
    policy: str,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    folder: Path = Path(),
    stand_in: bool = False,
    allow_overload: bool = False,
    changed: str = "",
    progress: Progress | None = None,
) -> Run:
    """Run one policy in one scenario.

    Args:
        scenario: a scenario, its data as a mapping, or the name or path of its file.
        policy: of `simulator.contenders.CONTENDERS`.
        seed: of all random streams.
        options: of the policy.
        name: what the run calls the scenario; its own name where that was given.
        folder: that a trace's relative path is meant from; that of the file where one was given.
        stand_in: whether generated requests take a trace's place.
        allow_overload: whether to run what the fleet cannot carry.
        changed: what was changed in the scenario, for the report.
        progress: told how far the run is.

    Raises:
        ConfigError: there is no such scenario, or it is not valid.
        ImpossibleScenario: it cannot be run.
        TraceError: its trace cannot be read.
    """
    if isinstance(scenario, str):
        name, folder = name or Path(scenario).stem, path_of(scenario).parent
        scenario = load(scenario)
    elif not isinstance(scenario, Scenario):
        scenario = Scenario.model_validate(scenario)
    demand = prepare(scenario.workload, folder, streams(seed), stand_in)
    planned = plan(name or "scenario", scenario, demand, seed)
    if why := overload(planned):
        if not allow_overload:
            raise ImpossibleScenario(why)
        warnings.warn(why, OverloadWarning, stacklevel=2)
    return simulate(planned, contender(policy, options), changed, progress)
