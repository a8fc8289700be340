"""The simulator from Python: scenarios in, runs and DataFrames out."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.arena import Results, run_all, tasks
from simulator.catalogue import load, names, path_of
from simulator.contenders import CONTENDERS, contender
from simulator.measures.frame import table
from simulator.plan import ImpossibleScenario, overload, plan
from simulator.result import Run
from simulator.scenario import Scenario
from simulator.simulation import Progress, simulate
from simulator.streams import streams
from simulator.workload.given import Given
from simulator.workload.workload import prepare
from smartlb.control.checkpoint_file import read
from smartlb.learning.checkpoint import Checkpoint

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImpossibleScenario", "OverloadWarning", "Run", "Scenario", "arena", "load", "run"]

Source = Scenario | Mapping[str, Any] | str
"""A scenario, its data as a mapping, or the name or path of its file."""


class OverloadWarning(UserWarning):
    """A fleet cannot carry what comes, and is simulated all the same."""


def run(
    scenario: Source,
    policy: str,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    *,
    requests: "pd.DataFrame | None" = None,
    name: str = "",
    folder: Path = Path(),
    stand_in: bool = False,
    allow_overload: bool = False,
    changed: str = "",
    progress: Progress | None = None,
    checkpoint: Checkpoint | Path | str | None = None,
) -> Run:
    """Run one policy in one scenario.

    Args:
        scenario: what happens.
        policy: of `simulator.contenders.CONTENDERS`.
        seed: of all random streams.
        options: of the policy.
        requests: take the place of the scenario's workload; columns as for `Given.from_frame`.
        name: what the run calls the scenario; its own name where that was given.
        folder: that a trace's relative path is meant from; that of the file where one was given.
        stand_in: whether generated requests take a trace's place.
        allow_overload: whether to run what the fleet cannot carry, with an `OverloadWarning`.
        changed: what was changed in the scenario, for the report.
        progress: told how far the run is.
        checkpoint: what the learned policy knows at the start, or the path of its file.

    Raises:
        CheckpointError: the checkpoint cannot be used here.
        ConfigError: there is no such scenario, or it is not valid.
        ImpossibleScenario: it cannot be run.
        TraceError: its trace cannot be read.
        GivenError: `requests` hold what cannot be.
    """
    name, scenario, folder = _resolved(scenario, name, folder)
    given = None if requests is None else Given.from_frame(requests)
    demand = given or prepare(scenario.workload, folder, streams(seed), stand_in)
    planned = plan(name, scenario, demand, seed)
    if why := overload(planned):
        if not allow_overload:
            raise ImpossibleScenario(why)
        warnings.warn(why, OverloadWarning, stacklevel=2)
    known = read(Path(checkpoint)) if isinstance(checkpoint, Path | str) else checkpoint
    return simulate(planned, contender(policy, options), changed, progress, known)


def arena(
    scenarios: Sequence[Source] | Mapping[str, Source] | None = None,
    policies: Sequence[str] | None = None,
    seeds: int = 5,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    jobs: int = -1,
    results: Path | None = None,
    stand_in: bool = False,
    allow_overload: bool = False,
    checkpoint: Checkpoint | Path | str | None = None,
) -> "pd.DataFrame":
    """Compare policies over scenarios and seeds.

    Args:
        scenarios: names, paths, or scenarios by a name of your choice; all built-in ones where not given.
        policies: of `simulator.contenders.CONTENDERS`; all where not given.
        seeds: runs of each.
        options: by policy.
        jobs: runs at once; -1 for one a core.
        results: a folder in which finished runs are kept and found again.
        stand_in: whether generated requests take the place of traces.
        allow_overload: whether to run what a fleet cannot carry.
        checkpoint: as for `run`; of all scenarios.

    Returns:
        One row a scenario, policy and seed; see `simulator.measures.frame.table`.

    Raises:
        CheckpointError, ConfigError, ImpossibleScenario, TraceError: as for `run`.
    """
    given = names() if scenarios is None else scenarios
    named = given.items() if isinstance(given, Mapping) else ((_name(each, at), each) for at, each in enumerate(given))
    resolved = [_resolved(scenario, name, Path()) for name, scenario in named]
    todo = tasks(
        {name: (scenario, folder) for name, scenario, folder in resolved},
        policies or list(CONTENDERS),
        range(seeds),
        options,
        stand_in=stand_in,
        allow_overload=allow_overload,
        checkpoint=read(Path(checkpoint)) if isinstance(checkpoint, Path | str) else checkpoint,
    )
    done = run_all(todo, Results(results), jobs, "sequential" if jobs == 1 else "loky")
    order = {name: at for at, (name, _, _) in enumerate(resolved)}
    figures = sorted((each.figures for each in done), key=lambda of: (order[of.scenario], of.seed))
    return table(figures)


def _name(scenario: Source, at: int) -> str:
    return Path(scenario).stem if isinstance(scenario, str) else f"scenario {at + 1}"


def _resolved(scenario: Source, name: str, folder: Path) -> tuple[str, Scenario, Path]:
    if isinstance(scenario, str):
        return name or Path(scenario).stem, load(scenario), path_of(scenario).parent
    if not isinstance(scenario, Scenario):
        scenario = Scenario.model_validate(scenario)
    return name or "scenario", scenario, folder
