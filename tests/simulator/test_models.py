"""The checkpoints in models/: whole, fitting, better than nothing where they fit, and not for ever wrong where not."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.api import run
from simulator.result import failed, latency_s
from simulator.scenario import Scenario
from simulator.training import START_S, Given, held_out, starts
from smartlb.control.checkpoint_file import read
from smartlb.learning.checkpoint import Checkpoint

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/checkpoint.json"))
SEEDS = range(10, 13)

every_model = pytest.mark.parametrize("name", NAMES)


@cache
def checkpoint(name: str) -> Checkpoint:
    return read(MODELS / name / "checkpoint.json")


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODELS / name / "manifest.json").read_text())
    return found


def given(name: str, which: str) -> Given:
    return next(each for each in held_out(MODELS / name / "held_out.yaml") if each.name == which)


def swapped(of: Checkpoint) -> Checkpoint:
    """The same with every backend's claims made of another."""
    ((pool, memory),) = of.pools.items()
    backends = dict(zip(memory.backends, reversed(memory.backends.values()), strict=True))
    return of.model_copy(update={"pools": {pool: memory.model_copy(update={"backends": backends})}})


def test_there_are_some() -> None:
    assert len(NAMES) >= 2
    makefile = (MODELS.parent / "Makefile").read_text()
    assert all(f"--out models/{name}\n" in makefile for name in NAMES)


@every_model
def test_manifest_and_card_are_of_the_checkpoint(name: str) -> None:
    made, card = manifest(name), (MODELS / name / "README.md").read_text()
    digest = hashlib.sha256((MODELS / name / "checkpoint.json").read_bytes()).hexdigest()
    assert made["sha256"] == digest
    assert digest in card
    assert made["command"] in card
    assert made["versions"] == {"smartlb": checkpoint(name).smartlb, "river": checkpoint(name).river}
    assert [each["name"] for each in made["held_out"]] == [e.name for e in held_out(MODELS / name / "held_out.yaml")]
    for heading in ("Use", "What it holds", "Data", "Evaluation", "Limits", "Again"):
        assert f"**{heading}.**" in card


@every_model
def test_it_knows_every_backend_and_class_of_its_fleet(name: str) -> None:
    scenario: Scenario = given(name, "quiet").scenario
    (memory,) = checkpoint(name).pools.values()
    assert set(memory.backends) == {each for group in scenario.fleet for each in group.names}
    for backend in memory.backends.values():
        assert {example.request_class for example in backend.latency} == set(checkpoint(name).classes)


@every_model
def test_a_warm_start_beats_a_cold_one(name: str) -> None:
    found = starts([given(name, which) for which in ("quiet", "busy")], checkpoint(name), SEEDS)
    assert sum(each.warm_mean_ms for each in found) < sum(each.cold_mean_ms for each in found)
    assert sum(each.warm_p99_ms for each in found) < sum(each.cold_p99_ms for each in found)
    assert all(each.warm_failed <= each.cold_failed for each in found)


def means_ms(of: Given, known: Checkpoint | None, spans: Sequence[tuple[float, float]]) -> list[float]:
    """Mean latency of the requests that arrived in each span, over the seeds."""
    scenario = of.scenario.model_copy(update={"duration_s": START_S, "warmup_s": 0.0})
    logs = np.concatenate([run(scenario, "learned", seed, checkpoint=known).requests for seed in SEEDS])
    found = []
    for start_s, end_s in spans:
        rows = logs[(logs["arrived_s"] >= start_s) & (logs["arrived_s"] < end_s)]
        found.append(float(latency_s(rows)[~failed(rows)].mean()) * 1e3)
    return found


@every_model
def test_a_wrong_prior_is_unlearned_within_seconds(name: str) -> None:
    quiet, spans = given(name, "quiet"), [(0.0, 10.0), (12.0, START_S)]
    (_, usual_ms), (first_ms, later_ms) = (means_ms(quiet, known, spans) for known in (None, swapped(checkpoint(name))))
    assert later_ms < 1.15 * usual_ms
    assert first_ms < 25.0 * usual_ms
