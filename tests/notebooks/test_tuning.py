"""The search over options: paired trials, the defaults among them, held-out scenarios apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform

from simulator.api import run
from simulator.contenders import contender
from simulator.tuning import ranked, tune
from tests.simulator.scenarios import scenario

BUSY = scenario(
    duration_s=4.0, warmup_s=1.0, load={"rate": 150.0}, fleet=[{"name": "slow"}, {"name": "fast", "speed": 2.0}]
)
OTHER = {**BUSY, "load": {"rate": 100.0}}


def tuned(space: dict[str, Any], held_out: Any = (), **given: Any) -> pd.DataFrame:
    return tune(space, {"busy": BUSY}, held_out, **{"seeds": 2, "jobs": 1, **given})


def test_a_grid_has_every_combination_once_and_the_defaults_first() -> None:
    default = contender("learned").options.model_dump()["candidates"]
    runs = tuned({"policy.candidates": [2, default], "learner.interval_s": [0.2, 0.4]}, seeds=1)
    trials = runs.groupby("trial")[["policy.candidates", "learner.interval_s"]].first()
    found = trials.to_numpy().tolist()
    assert found[0] == [default, 0.2]
    assert sorted(found) == sorted([count, interval] for count in (2, default) for interval in (0.2, 0.4))


def test_draws_are_those_of_the_seed_and_of_few_digits() -> None:
    space = {"learner.exploration_floor": loguniform(0.01, 0.3)}
    first, again, other = (tuned(space, trials=2, seeds=1, seed=seed) for seed in (1, 1, 2))
    assert first["learner.exploration_floor"].tolist() == again["learner.exploration_floor"].tolist()
    assert first["learner.exploration_floor"].tolist() != other["learner.exploration_floor"].tolist()
    assert all(len(f"{value:g}") <= 6 for value in first["learner.exploration_floor"])


def test_a_run_is_the_one_that_its_options_give() -> None:
    runs = tuned({"policy.candidates": [1], "learner.interval_s": [0.5]})
    changed = {**BUSY, "learner": {"interval_s": 0.5}}
    for seed in (0, 1):
        row = runs[(runs["trial"] == 1) & (runs["seed"] == seed)].iloc[0]
        requests = run(changed, "learned", seed, {"candidates": 1}).requests
        least = run(BUSY, "clairvoyant", seed).requests
        p99, bound = (np.percentile(of["queued_s"] + of["total_s"], 99) * 1e3 for of in (requests, least))
        assert row["p99_ms"] == pytest.approx(p99, rel=1e-3)
        assert row["regret_p99"] == pytest.approx(p99 / bound - 1, rel=1e-2, abs=1e-3)


def test_held_out_scenarios_get_the_best_and_the_defaults_with_other_seeds() -> None:
    runs = tuned({"policy.candidates": [1, 2, 4]}, {"other": OTHER}, finalists=1)
    unseen = runs[runs["held_out"]]
    best = next(trial for trial in ranked(runs)["trial"] if trial)
    assert set(unseen["trial"]) == {0, best}
    assert set(unseen["scenario"]) == {"other"}
    assert not set(unseen["seed"]) & set(runs.loc[~runs["held_out"], "seed"])


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    space = {"policy.candidates": [2]}
    first = tuned(space, results=tmp_path)
    count = len(list(tmp_path.iterdir()))
    again = tuned(space, results=tmp_path)
    assert count == 2 * 3
    assert len(list(tmp_path.iterdir())) == count
    pd.testing.assert_frame_equal(first, again)


def test_ranking_is_geometric_paired_and_leaves_nothing_out() -> None:
    runs = pd.DataFrame(
        {
            "trial": [0, 0, 1, 1, 2, 2, 0, 0, 1, 1],
            "policy.candidates": [3, 3, 2, 2, 4, 4, 3, 3, 2, 2],
            "held_out": [False] * 6 + [True] * 4,
            "scenario": ["a"] * 6 + ["b"] * 4,
            "seed": [0, 1, 0, 1, 0, 1, 2, 3, 2, 3],
            "regret_p99": [1.0, 3.0, 0.0, 1.0, 0.0, np.nan, 1.0, 1.0, 1.0, 3.0],
            "error_share": [0.0, 0.2, 0.1, 0.1, 0.0, 1.0, 0.0, 0.0, 0.3, 0.1],
        }
    )
    ranking = ranked(runs)
    assert ranking["trial"].tolist() == [1, 0, 2]
    best, defaults, failed = (ranking.iloc[at] for at in range(3))
    assert best["regret"] == pytest.approx(np.sqrt(2) - 1)
    assert defaults["regret"] == pytest.approx(np.sqrt(8) - 1)
    assert best["change"] == pytest.approx(-0.5)
    assert best["change_low"] == best["change_high"] == pytest.approx(-0.5)
    assert best["error_share"] == pytest.approx(0.1)
    assert best["held_out_regret"] == pytest.approx(np.sqrt(8) - 1)
    assert best["held_out_change"] == pytest.approx(np.sqrt(2) - 1)
    assert best["held_out_change_low"] < 0 < best["held_out_change_high"]
    assert best["held_out_error_share"] == pytest.approx(0.2)
    assert (defaults["change"], defaults["held_out_change"]) == (0.0, 0.0)
    assert failed[["regret", "change", "held_out_regret"]].isna().all()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"policy.candidate": [2]}, "option 'policy.candidate' unknown; did you mean 'policy.candidates'"),
        ({"candidates": [2]}, "option 'candidates' unknown"),
        ({"learner.stale_after_s": [2.0]}, "option 'learner.stale_after_s' unknown"),
        ({"policy.candidates": [2, 99]}, "less than or equal to 8"),
        ({"learner.interval_s": [0.0]}, "greater than or equal to 0.05"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuned(space)


def test_policies_that_do_not_learn_have_their_own_options_only() -> None:
    runs = tuned({"policy.decay_s": [2.0, 20.0]}, policy="peak_ewma", seeds=1)
    assert runs["policy"].unique().tolist() == ["peak_ewma"]
    with pytest.raises(ValueError, match=r"option 'learner\.interval_s' unknown"):
        tuned({"learner.interval_s": [0.2]}, policy="peak_ewma")
    with pytest.raises(ValueError, match="policy 'peak' unknown"):
        tuned({}, policy="peak")
