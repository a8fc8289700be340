"""Many runs: none is done twice, none is lost, and it does not matter where they were done."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from simulator import arena
from simulator.arena import Done, Results, Task, run_all, tasks
from simulator.plan import ImpossibleScenario
from simulator.scenario import Scenario
from tests.simulator.scenarios import scenario

POLICIES = ("round_robin", "power_of_two")


def small(**given: Any) -> tuple[Scenario, Path]:
    exponential = {"classes": [{"name": "request", "work": {"kind": "exponential", "mean_ms": 10.0}}]}
    return Scenario.model_validate(scenario(duration_s=1.0, workload=exponential, **given)), Path()


def eight() -> list[Task]:
    uneven = [{"name": "server", "count": 2, "cores": 2}, {"name": "slow", "speed": 0.5}]
    return tasks({"even": small(), "uneven": small(fleet=uneven)}, POLICIES, range(2))


def impossible() -> Task:
    (task,) = tasks({"crowded": small(load={"rate": 1000.0})}, ["round_robin"], [0])
    return task


def found(done: Iterable[Done]) -> dict[Any, Any]:
    """Figures and curves by run, without how long it took."""
    return {
        (of.figures.scenario, of.figures.policy, of.figures.seed): (
            asdict(replace(of.figures, wall_s=0.0, requests_per_wall_s=None)),
            asdict(of.curves),
        )
        for of in done
    }


@pytest.fixture(scope="module")
def expected() -> dict[Any, Any]:
    """What the eight tasks find, done one after the other."""
    of = found(run_all(eight(), Results(None), backend="sequential"))
    assert len(of) == 8
    return of


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks that this process has done so far."""
    done: list[Task] = []

    def counted(task: Task, do: Any = arena.do) -> Done:
        done.append(task)
        found: Done = do(task)
        return found

    monkeypatch.setattr(arena, "do", counted)
    return done


# Tasks


def test_the_runs_of_a_scenario_and_seed_come_together() -> None:
    assert [(task.name, task.seed, task.policy) for task in eight()] == [
        (name, seed, policy) for name in ("even", "uneven") for seed in (0, 1) for policy in POLICIES
    ]


def test_options_go_to_their_policy_and_further_fields_to_every_task() -> None:
    first, second = tasks({"a": small()}, POLICIES, [3], {"power_of_two": {"x": 1}}, stand_in=True, changed="c=1")
    assert (first.options, second.options) == ("{}", '{"x": 1}')
    assert first.stand_in
    assert second.stand_in
    assert (first.changed, second.seed) == ("c=1", 3)


def test_whatever_differs_has_another_key() -> None:
    task = eight()[0]
    others = []
    for field in fields(Task):
        value = getattr(task, field.name)
        other: Any = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
        others.append(replace(task, **{field.name: other}))
    assert len({task.key, *(other.key for other in others)}) == len(fields(Task)) + 1
    assert replace(task).key == task.key
    assert len({task.key for task in eight()}) == 8


def test_another_code_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    task = eight()[0]
    before = task.key
    monkeypatch.setattr(arena, "_source", lambda: "another")
    assert task.key != before


def test_the_order_of_options_does_not_matter() -> None:
    (one,), (other,) = (
        tasks({"a": small()}, ["learned"], [0], {"learned": options})
        for options in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert one.key == other.key


# Where they are done


@pytest.fixture
def workers() -> Iterator[None]:
    """Ends the processes that joblib would keep."""
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@pytest.mark.usefixtures("workers")
def test_processes_find_the_same(expected: dict[Any, Any], tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert found(run_all(eight(), results, jobs=2)) == expected
    assert len(list(tmp_path.iterdir())) == 8
    # What a process cannot do is said by the process that asked, and what was finished is kept.
    with pytest.raises(ImpossibleScenario, match=r"crowded: 1,000\.0 requests/s are 5\.00 of what"):
        list(run_all([*eight(), impossible()], results, jobs=2))
    assert len(list(tmp_path.iterdir())) == 8


def test_a_cluster_finds_the_same(expected: dict[Any, Any], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"processes": False, "n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster:
        address = cluster.scheduler_address
        of = found(run_all(eight(), Results(tmp_path), backend="dask", address=address))
    assert of == expected
    assert len(list(tmp_path.iterdir())) == 8


# What is kept


def test_nothing_is_done_twice(expected: dict[Any, Any], calls: list[Task], tmp_path: Path) -> None:
    results = Results(tmp_path / "a" / "b")
    todo = eight()
    assert found(run_all(todo[:3], results, backend="sequential")) == {
        key: value for at, (key, value) in enumerate(expected.items()) if at < 3
    }
    assert found(run_all(todo, results, backend="sequential")) == expected
    assert calls == todo
    assert found(run_all(todo, results, backend="sequential")) == expected
    # Where everything is there, there is nothing to start processes for.
    assert found(run_all(todo, results)) == expected
    assert calls == todo


def test_what_is_there_comes_first(calls: list[Task], tmp_path: Path) -> None:
    results = Results(tmp_path)
    todo = eight()
    list(run_all(todo[6:], results, backend="sequential"))
    calls.clear()
    first, second, *_ = run_all(todo[4:], results, backend="sequential")
    assert [(of.figures.policy, of.figures.seed) for of in (first, second)] == [(t.policy, t.seed) for t in todo[6:]]
    assert calls == todo[4:6]


def test_without_a_folder_nothing_is_kept(calls: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        list(run_all(eight()[:1], Results(None), backend="sequential"))
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"3", b"{}", b'{"figures": {}, "curves": {}}', b'{"figures": 1}', b"\xff\xfe"],
)
def test_a_file_that_cannot_be_read_is_done_again(content: bytes, calls: list[Task], tmp_path: Path) -> None:
    task = eight()[0]
    (before,) = run_all([task], Results(tmp_path), backend="sequential")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(content)
    (after,) = run_all([task], Results(tmp_path), backend="sequential")
    assert found([after]) == found([before])
    assert len(calls) == 2
    assert json.loads(file.read_bytes()).keys() == json.loads(whole).keys()
    assert Results(tmp_path).get(task) == after


def test_a_file_that_was_cut_off_is_done_again(calls: list[Task], tmp_path: Path) -> None:
    task = eight()[0]
    list(run_all([task], Results(tmp_path), backend="sequential"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    list(run_all([task], Results(tmp_path), backend="sequential"))
    assert len(calls) == 2


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    faults = [{"kind": "crash", "backends": ["server-1"], "starts_s": 0.3, "ends_s": 0.5}]
    todo = tasks({"crash": small(faults=faults)}, ["learned"], [0])
    (done,) = run_all(todo, Results(tmp_path), backend="sequential")
    assert Results(tmp_path).get(todo[0]) == done
    assert Results(tmp_path).get(replace(todo[0], seed=1)) is None


# What is interrupted


def test_whoever_stops_listening_keeps_what_came(expected: dict[Any, Any], calls: list[Task], tmp_path: Path) -> None:
    results = Results(tmp_path)
    todo = eight()
    running = run_all(todo, results, backend="sequential")
    for _ in range(3):
        next(running)
    running.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) == 3
    assert found(run_all(todo, results, backend="sequential")) == expected
    assert calls == todo


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImpossibleScenario, MemoryError])
def test_what_was_finished_is_kept_whatever_happens(
    error: type[BaseException], expected: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results = Results(tmp_path)
    todo = eight()
    started: list[Task] = []

    def fails_at_the_fifth(task: Task, do: Any = arena.do) -> Done:
        started.append(task)
        if len(started) == 5:
            raise error
        found: Done = do(task)
        return found

    monkeypatch.setattr(arena, "do", fails_at_the_fifth)
    came: list[Done] = []
    with pytest.raises(error):
        came.extend(run_all(todo, results, backend="sequential"))
    assert len(list(tmp_path.iterdir())) == 4
    assert found(run_all(todo, results, backend="sequential")) == expected
    # The four that were finished were not started again; the fifth was.
    assert started == [*todo[:5], *todo[4:]]


def test_a_task_that_cannot_be_done_says_why() -> None:
    with pytest.raises(ImpossibleScenario, match=r"crowded: 1,000\.0 requests/s are 5\.00 of what the fleet can carry"):
        list(run_all([impossible()], Results(None), backend="sequential"))
    (done,) = run_all([replace(impossible(), allow_overload=True)], Results(None), backend="sequential")
    assert done.figures.utilisation == pytest.approx(5.0)
