"""Training: the learner at work in the simulator, what it learned averaged over runs, and how much that helps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from simulator.catalogue import load, path_of
from simulator.contenders import contender
from simulator.measures.figures import figures
from simulator.plan import ImpossibleScenario, overload, plan
from simulator.result import Run
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.streams import streams
from simulator.workload.workload import missing, prepare
from smartlb.config.load import read, validated
from smartlb.config.model import Section
from smartlb.config.values import Name
from smartlb.learning.checkpoint import BackendMemory, Checkpoint, Example, Outcomes, PoolMemory

START_S = 30.0
"""A checkpoint is judged by the first this many seconds: later a cold start has learned what it needs as well."""

FIRST_SEED = 1000
"""Of training; those of the evaluation begin at 0, so that they share no draws."""


class HeldOut(Section):
    """A scenario that nothing was trained on."""

    scenario: str = Field(
        min_length=1, description="A built-in scenario's name, or the path of a file from the folder of this one."
    )
    set: dict[str, Any] = Field(default={}, description="Values to change, by dotted key.")


class HeldOuts(Section):
    """A file of them."""

    scenarios: dict[Name, HeldOut] = Field(min_length=1, description="By a name of your choice.")


@dataclass(frozen=True, slots=True)
class Given:
    """A scenario to run.

    Attributes:
        name: for people.
        scenario: what happens.
        folder: that a trace's relative path is meant from.
        changed: what differs from the scenario's file, in words.
    """

    name: str
    scenario: Scenario
    folder: Path
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Cold and warm starts in one scenario, over seeds; means over the seeds, latencies of successes in ms.

    Attributes:
        name, changed: of the scenario.
        seeds: how many.
        cold_mean_ms, warm_mean_ms, cold_p99_ms, warm_p99_ms: latencies.
        cold_failed, warm_failed: shares of requests.
        mean_won, p99_won: with how many seeds the warm start had the shorter mean and p99.
    """

    name: str
    changed: str
    seeds: int
    cold_mean_ms: float
    warm_mean_ms: float
    cold_p99_ms: float
    warm_p99_ms: float
    cold_failed: float
    warm_failed: float
    mean_won: int
    p99_won: int


def held_out(path: Path) -> list[Given]:
    """The scenarios that a file names.

    Raises:
        ConfigError: it cannot be read, or is not valid, or a scenario of it is not.
    """
    found = []
    for name, entry in validated(HeldOuts, read(path), str(path)).scenarios.items():
        changes = {key: _as_yaml(value) for key, value in entry.set.items()}
        source = str(path.parent / entry.scenario) if entry.scenario.endswith((".yaml", ".yml")) else entry.scenario
        changed = ", ".join([Path(source).stem, *(f"{key}={value}" for key, value in changes.items())])
        found.append(Given(name, load(source, changes), path_of(source).parent, changed))
    return found


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("...").strip()


def train(
    given: Sequence[Given],
    seeds: Iterable[int],
    *,
    allow_overload: bool = False,
    done: Callable[[str], None] = lambda _name: None,
) -> Checkpoint:
    """Run the learned policy in every scenario with every seed, and average what it knows at the ends.

    Raises:
        ImpossibleScenario: a scenario cannot be run, or they have no classes or models in common.
        TraceError: a trace cannot be read.
    """
    found: list[Checkpoint] = []
    for seed in seeds:
        for each in given:
            of = _run(each, each.scenario, seed, None, allow_overload)
            assert of.learned is not None
            found.append(of.learned)
            done(each.name)
    return merged(found)


def merged(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """What several checkpoints say on average, each by its evidence.

    Raises:
        ImpossibleScenario: they are of other models or classes.
    """
    first = checkpoints[0]
    for other in checkpoints[1:]:
        for key in ("latency", "latency_model", "error_model", "classes"):
            if (one := getattr(first, key)) != (two := getattr(other, key)):
                raise ImpossibleScenario(f"{key}: expected the same in all scenarios; found {one!r} and {two!r}")
    names = dict.fromkeys(name for each in checkpoints for name in each.pools)
    pools = {name: _pool([each.pools[name] for each in checkpoints if name in each.pools]) for name in names}
    return first.model_copy(update={"pools": pools})


def _pool(memories: Sequence[PoolMemory]) -> PoolMemory:
    count = len(memories)
    backends = dict.fromkeys(name for each in memories for name in each.backends)
    classes = dict.fromkeys(name for each in memories for name in each.requests)
    return PoolMemory(
        latency_s=sum(each.latency_s for each in memories) / count,
        in_flight=sum(each.in_flight for each in memories) / count,
        successes=sum(each.successes for each in memories),
        requests={name: sum(each.requests.get(name, 0.0) for each in memories) for name in classes},
        backends={
            name: _backend([each.backends[name] for each in memories if name in each.backends]) for name in backends
        },
    )


def _backend(memories: Sequence[BackendMemory]) -> BackendMemory:
    groups: dict[tuple[str, int], list[Example]] = {}
    outcomes: dict[str, list[Outcomes]] = {}
    for memory in memories:
        seen: dict[str, int] = {}
        for example in sorted(memory.latency, key=lambda example: example.in_flight):
            at = seen[example.request_class] = seen.get(example.request_class, -1) + 1
            groups.setdefault((example.request_class, at), []).append(example)
        for name, each in memory.outcomes.items():
            outcomes.setdefault(name, []).append(each)
    return BackendMemory(
        latency=[_example(group) for group in groups.values() if sum(each.requests for each in group)],
        outcomes={
            name: Outcomes(requests=sum(each.requests for each in group), failures=sum(each.failures for each in group))
            for name, group in outcomes.items()
        },
    )


def _example(group: Sequence[Example]) -> Example:
    total = sum(each.requests for each in group)
    return Example(
        request_class=group[0].request_class,
        in_flight=sum(each.in_flight * each.requests for each in group) / total,
        latency_s=sum(each.latency_s * each.requests for each in group) / total,
        requests=total,
    )


def starts(given: Sequence[Given], checkpoint: Checkpoint, seeds: Sequence[int]) -> list[Start]:
    """How the learned policy does in its first seconds, with a checkpoint and without.

    Raises:
        CheckpointError: the checkpoint says nothing of a scenario's fleet.
        ImpossibleScenario, TraceError: as for `train`.
    """
    return [_start(each, checkpoint, seeds) for each in given]


def _start(given: Given, checkpoint: Checkpoint, seeds: Sequence[int]) -> Start:
    scenario = given.scenario.model_copy(update={"duration_s": START_S, "warmup_s": 0.0})
    pairs = [
        [figures(_run(given, scenario, seed, known, True)) for known in (None, checkpoint)]  # cold, warm
        for seed in seeds
    ]

    def average(which: int, figure: str) -> float:
        return sum(float(getattr(pair[which], figure) or 0.0) for pair in pairs) / len(pairs)

    def won(figure: str) -> int:
        return sum((getattr(warm, figure) or 0.0) < (getattr(cold, figure) or 0.0) for cold, warm in pairs)

    return Start(
        name=given.name,
        changed=given.changed,
        seeds=len(seeds),
        cold_mean_ms=average(0, "mean_ms"),
        warm_mean_ms=average(1, "mean_ms"),
        cold_p99_ms=average(0, "p99_ms"),
        warm_p99_ms=average(1, "p99_ms"),
        cold_failed=average(0, "errors"),
        warm_failed=average(1, "errors"),
        mean_won=won("mean_ms"),
        p99_won=won("p99_ms"),
    )


def _run(given: Given, scenario: Scenario, seed: int, known: Checkpoint | None, allow_overload: bool) -> Run:
    stand_in = bool(missing(scenario.workload, given.folder))
    planned = plan(given.name, scenario, prepare(scenario.workload, given.folder, streams(seed), stand_in), seed)
    if not allow_overload and (why := overload(planned)):
        raise ImpossibleScenario(why)
    return simulate(planned, contender("learned"), given.changed, checkpoint=known)
