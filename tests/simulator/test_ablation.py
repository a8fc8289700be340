"""Variants of the learned policy: each differs, in what it says and in nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import ablation, arena
from simulator.ablation import VARIANTS, YARDSTICK, Variant
from simulator.contenders import contender
from simulator.plan import plan
from simulator.result import Run
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.streams import streams
from simulator.workload.workload import prepare
from smartlb.config.model import Learner
from smartlb.learning.learner import Learner as Learning
from smartlb.learning.learner import LearnerSettings
from tests.learning.telemetry import some_records
from tests.simulator.scenarios import scenario

WORK = {"kind": "exponential", "mean_ms": 10.0}
TWO = [{"name": name, "work": WORK} for name in ("page", "image")]
FLEET = [{"name": f"for-{name}", "speed": 0.25, "class_speed": {name: 1.0}} for name in ("page", "image")]


def small(**given: Any) -> dict[str, tuple[Scenario, Path]]:
    one = {"classes": [{"name": "request", "work": WORK}]}
    return {"small": (Scenario.model_validate(scenario(duration_s=2.0, **{"workload": one, **given})), Path())}


def run(blind: bool, **given: Any) -> Run:
    of, folder = small(**given)["small"]
    planned = plan("small", of, prepare(of.workload, folder, streams(0)), 0)
    return simulate(planned, replace(contender("learned"), blind=blind))


def test_the_runs_of_a_scenario_and_seed_come_together() -> None:
    tasks = ablation.tasks(small(), [3, 4], changed="c=1", stand_in=True)
    assert [(task.seed, task.label or task.policy) for task in tasks] == [
        (seed, name) for seed in (3, 4) for name in (*VARIANTS, YARDSTICK)
    ]
    assert {task.policy for task in tasks} == {"learned", YARDSTICK}
    assert all(task.changed == "c=1" and task.stand_in for task in tasks)
    assert len({task.key for task in tasks}) == len(tasks)


def test_the_first_is_the_policy_as_it_is() -> None:
    (as_it_is,) = ablation.tasks(small(), [0])[:1]
    (plain,) = arena.tasks(small(), ["learned"], [0])
    assert replace(as_it_is, label="") == plain


@pytest.mark.parametrize("name", list(VARIANTS)[1:])
def test_a_variant_differs_in_what_it_says(name: str) -> None:
    variant = VARIANTS[name]
    usual = Learner().model_dump()
    assert variant.blind or variant.learner
    assert all(usual[key] != value for key, value in variant.learner.items())
    (task,) = (task for task in ablation.tasks(small(), [0]) if task.label == name)
    assert json.loads(task.scenario)["learner"] == {**usual, **variant.learner}
    assert task.blind is variant.blind


def test_what_is_changed_in_the_scenario_is_changed_in_every_variant() -> None:
    tasks = ablation.tasks(small(learner={"interval_s": 0.5}), [0])
    assert {json.loads(task.scenario)["learner"]["interval_s"] for task in tasks} == {0.5}


def test_a_value_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="exploration_floor"):
        ablation.tasks(small(), [0], {"learned, wrong": Variant({"exploration_floor": 0.0})})


def test_a_run_has_its_variants_name_and_all_share_one_workload() -> None:
    arena._demand.cache_clear()
    done = [arena.do(task) for task in ablation.tasks(small(), [0])]
    assert [of.figures.policy for of in done] == [*VARIANTS, YARDSTICK]
    assert len({of.figures.requests for of in done}) == 1
    assert arena._demand.cache_info().misses == 1


def test_blindness_changes_nothing_where_there_is_one_class() -> None:
    seeing, blind = run(False), run(True)
    assert seeing.log.tobytes() == blind.log.tobytes()


def test_the_blind_learn_one_class_and_the_run_still_has_all() -> None:
    given: dict[str, Any] = {"workload": {"classes": TWO}, "fleet": FLEET, "load": {"utilisation": 0.4}}
    seeing, blind = run(False, **given), run(True, **given)
    assert seeing.classes == blind.classes == ["page", "image"]
    assert set(blind.log["request_class"].tolist()) == {0, 1}
    assert seeing.learned is not None
    assert blind.learned is not None
    assert seeing.learned.classes == ["page", "image"]
    assert len(blind.learned.classes) == 1

    def at_home(of: Run) -> float:
        return float((of.log["backend"] == of.log["request_class"]).mean())

    assert at_home(seeing) > 0.6
    assert at_home(blind) < at_home(seeing) - 0.05


def test_without_exploration_nothing_is_explored() -> None:
    settings = LearnerSettings(**VARIANTS["learned, no exploration"].learner)
    model = Learning([range(4)], 1, settings)
    explored = [model.update(some_records(10_000), 0.2 * tick).explore.sum() for tick in range(100)]
    assert not np.any(explored)
