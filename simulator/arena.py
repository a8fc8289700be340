"""Many runs: every policy in every scenario with every seed, in parallel, kept as they finish."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from simulator.contenders import contender
from simulator.measures.curves import Curves, curves
from simulator.measures.figures import Figures, figures
from simulator.plan import ImpossibleScenario, overload, plan
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.streams import streams
from simulator.workload.demand import Demand
from simulator.workload.workload import Workload, prepare
from smartlb.learning.checkpoint import Checkpoint, from_text, to_text

Backend = Literal["loky", "sequential", "dask", "ray"]


@dataclass(frozen=True, slots=True)
class Task:
    """One run to be done.

    Attributes:
        name: of the scenario.
        scenario: as JSON.
        folder: that a trace's relative path is meant from.
        policy: of `simulator.contenders.CONTENDERS`.
        options: of the policy, as JSON.
        seed: of all random streams.
        changed: what was changed in the scenario, for the report.
        stand_in: whether generated requests take a trace's place.
        allow_overload: whether to run what the fleet cannot carry.
        checkpoint: what the learner knows at the start, as its file has it; empty for nothing.
        label: by which reports know the policy; empty for its name.
        blind: whether the learner takes all requests to be of one class.
    """

    name: str
    scenario: str
    folder: str
    policy: str
    options: str
    seed: int
    changed: str = ""
    stand_in: bool = False
    allow_overload: bool = False
    checkpoint: str = ""
    label: str = ""
    blind: bool = False

    @property
    def key(self) -> str:
        """Differs for whatever gives other figures."""
        return hashlib.sha256(json.dumps([asdict(self), _source()]).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Done:
    """What is kept of a run."""

    figures: Figures
    curves: Curves


_DONE = TypeAdapter(Done)
_WORKLOAD: TypeAdapter[Workload] = TypeAdapter(Workload)


@cache
def _source() -> str:
    """A digest of the code, so that what other code found is not taken for this one's."""
    import simulator
    import smartlb

    digest = hashlib.sha256()
    for package in (smartlb, simulator):
        for path in sorted(Path(package.__file__ or "").parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def do(task: Task) -> Done:
    """Run a task; in whatever process it is called.

    Raises:
        ImpossibleScenario: the scenario cannot be run.
        TraceError: its trace cannot be read.
        CheckpointError: the checkpoint says nothing of the fleet.
    """
    scenario = Scenario.model_validate_json(task.scenario)
    demand = _demand(scenario.workload.model_dump_json(), task.folder, task.seed, task.stand_in)
    planned = plan(task.name, scenario, demand, task.seed)
    if not task.allow_overload and (why := overload(planned)):
        raise ImpossibleScenario(why)
    checkpoint = from_text(task.checkpoint) if task.checkpoint else None
    named = contender(task.policy, json.loads(task.options))
    runs = replace(named, name=task.label or named.name, blind=task.blind)
    of = simulate(planned, runs, task.changed, None, checkpoint)
    return Done(figures(of), curves(of))


@lru_cache(maxsize=2)
def _demand(workload: str, folder: str, seed: int, stand_in: bool) -> Demand:
    """A trace is read through once for its statistics; all policies share that."""
    return prepare(_WORKLOAD.validate_json(workload), Path(folder), streams(seed), stand_in)


class Results:
    """A folder with a file a run, so that nothing that was finished is done again.

    Args:
        folder: made where it is not there; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, task: Task) -> Done | None:
        """What a task found before; None where it was not done, or its file cannot be read."""
        if self._folder is None:
            return None
        try:
            kept = json.loads(self._path(self._folder, task).read_bytes())
            return _DONE.validate_python({name: kept[name] for name in ("figures", "curves")})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, task: Task, done: Done) -> None:
        """Keep what a task found; whoever reads sees all of it or nothing."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(self._folder, task)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps({"task": asdict(task), **asdict(done)}))
        unfinished.replace(path)

    @staticmethod
    def _path(folder: Path, task: Task) -> Path:
        return folder / f"{task.name}-{task.policy}-{task.seed}-{task.key}.json"


def tasks(
    scenarios: Mapping[str, tuple[Scenario, Path]],
    policies: Sequence[str],
    seeds: Iterable[int],
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    **common: Any,
) -> list[Task]:
    """All runs of a comparison, those of a scenario and seed together.

    Args:
        scenarios: by name, each with the folder of its file.
        policies: names.
        seeds: of the runs.
        options: by policy.
        checkpoint: what those that learn know at the start.
        common: further fields of every `Task`.
    """
    known = to_text(checkpoint) if checkpoint is not None else ""
    return [
        Task(
            name=name,
            scenario=scenario.model_dump_json(),
            folder=str(folder),
            policy=policy,
            options=json.dumps(dict((options or {}).get(policy, {})), sort_keys=True),
            seed=seed,
            checkpoint=known if contender(policy).learns else "",
            **common,
        )
        for name, (scenario, folder) in scenarios.items()
        for seed in seeds
        for policy in policies
    ]


def run_all(
    todo: Sequence[Task],
    results: Results,
    jobs: int = -1,
    backend: Backend = "loky",
    address: str | None = None,
) -> Iterator[Done]:
    """Do tasks, as many at once as there are cores, and hand each on as it finishes.

    Args:
        todo: what to do; what `results` has is not done again, and comes first.
        results: where finished runs are kept, by this process.
        jobs: how many at once; -1 for one a core.
        backend: where: in processes of this machine, in this process, or in a cluster of Dask or Ray.
        address: of the cluster; None starts one on this machine.

    Raises:
        ImpossibleScenario, TraceError: of a task; what was finished before is kept.
    """
    missing = []
    for task in todo:
        found = results.get(task)
        if found is None:
            missing.append(task)
        else:
            yield found
    if backend == "sequential":
        for task in missing:
            yield _kept(results, task, do(task))
        return
    from joblib import Parallel, delayed

    # Joblib replaces workers that have grown, and warns; a run's log is freed with it, and nothing is lost.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    with _cluster(backend, address, jobs) as parallel:
        # Ray's backend has no generator: it gets a few at a time instead, so that finished runs are kept.
        unordered = backend != "ray"
        size = len(missing) if unordered else 4 * (os.cpu_count() or 1)
        how = "generator_unordered" if unordered else "list"
        for first in range(0, len(missing), max(size, 1)):
            batch = missing[first : first + size]
            calls = (delayed(_numbered)(number, task) for number, task in enumerate(batch))
            for number, done in Parallel(return_as=how, pre_dispatch="2*n_jobs", **parallel)(calls):
                yield _kept(results, batch[number], done)


def _numbered(number: int, task: Task) -> tuple[int, Done]:
    return number, do(task)


def _kept(results: Results, task: Task, done: Done) -> Done:
    results.put(task, done)
    return done


@contextmanager
def _cluster(backend: Backend, address: str | None, jobs: int) -> Iterator[dict[str, Any]]:
    """Arguments for joblib, while a cluster is connected."""
    from joblib import parallel_config

    if backend == "dask":
        from distributed import Client

        connect: Any = partial(Client, address) if address else partial(Client, n_workers=jobs if jobs > 0 else None)
        with connect() as client, parallel_config(backend="dask", client=client):
            yield {}
    elif backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        ray.init(address=address, ignore_reinit_error=True)
        register_ray()
        try:
            with parallel_config(backend="ray"):
                yield {}
        finally:
            ray.shutdown()
    else:
        yield {"n_jobs": jobs, "backend": backend}
