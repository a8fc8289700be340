"""`smartlb train`: checkpoints from the simulator, warm starts from them, and the offline yardstick."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.api import arena, run
from simulator.offline import LEAST_ROWS, LogError, as_log, compare, pinball, read_log
from simulator.plan import ImpossibleScenario
from simulator.result import Run
from simulator.training import merged
from smartlb.cli.main import main
from smartlb.control.checkpoint_file import read
from smartlb.learning.checkpoint import Checkpoint, CheckpointError
from tests.simulator.scenarios import scenario

TWO_SPEEDS = scenario(
    duration_s=6.0,
    load={"rate": 60.0},
    fleet=[{"name": "fast", "round_trip_s": 0.0}, {"name": "slow", "speed": 0.25, "round_trip_s": 0.0}],
)
FILE = """\
description: Two backends.
duration_s: 6
warmup_s: 0
workload: {classes: [{name: request, work: {kind: exponential, mean_ms: 10}}]}
load: {utilisation: 0.6}
fleet: [{name: fast}, {name: slow, speed: 0.25}]
"""

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def smartlb(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "two.yaml").write_text(FILE)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture(scope="module")
def learned() -> Run:
    return run(TWO_SPEEDS, "learned", 1)


def slowness(of: Checkpoint) -> float:
    """Of the second backend, compared with the first."""
    (memory,) = of.pools.values()
    fast, slow = (memory.backends[name].latency[0].latency_s for name in ("fast", "slow"))
    return slow / fast


def test_a_run_leaves_what_was_learned(learned: Run) -> None:
    assert learned.learned is not None
    assert 2.0 < slowness(learned.learned) < 8.0
    assert run(TWO_SPEEDS, "round_robin", 1).learned is None


def test_a_warm_start_has_weights_at_once(learned: Run) -> None:
    warm = run(TWO_SPEEDS, "learned", 2, checkpoint=learned.learned)
    assert warm.weights_s[0] == 0.0
    assert warm.weights[0, 0] > 1.2 * warm.weights[0, 1]
    assert run(TWO_SPEEDS, "learned", 2, checkpoint=learned.learned).log.tobytes() == warm.log.tobytes()
    cold = run(TWO_SPEEDS, "learned", 2)
    assert cold.log.tobytes() != warm.log.tobytes()


def test_merged_is_between(learned: Run) -> None:
    other = run(TWO_SPEEDS, "learned", 3).learned
    assert learned.learned is not None
    assert other is not None
    both = merged([learned.learned, other])
    low, high = sorted(map(slowness, (learned.learned, other)))
    assert 0.9 * low < slowness(both) < 1.1 * high
    assert merged([other, other]).pools["fleet"].backends["slow"].latency[0].latency_s == pytest.approx(
        other.pools["fleet"].backends["slow"].latency[0].latency_s
    )
    with pytest.raises(ImpossibleScenario, match="latency_model: expected the same in all scenarios"):
        merged([other, other.model_copy(update={"latency_model": "mean"})])


def test_train_makes_a_checkpoint_that_simulate_and_arena_start_from(smartlb: Said, tmp_path: Path) -> None:
    (tmp_path / "held.yaml").write_text("scenarios: {quiet: {scenario: two.yaml, set: {load.utilisation: 0.3}}}\n")
    given = ("train", "two.yaml", "--seeds", "1", "--set", "duration_s=5", "--held-out", "held.yaml", "--out", "m")
    status, out, err = smartlb(*given)
    assert (status, err) == (0, "")
    assert "quiet: first 30 s" in out
    made = json.loads((tmp_path / "m" / "manifest.json").read_text())
    text = (tmp_path / "m" / "checkpoint.json").read_bytes()
    assert made["sha256"] == hashlib.sha256(text).hexdigest()
    assert made["command"] == "smartlb " + " ".join(given[:2]) + " " + " ".join(given[2:])
    assert slowness(read(tmp_path / "m" / "checkpoint.json")) > 2.0
    smartlb(*given)
    assert (tmp_path / "m" / "checkpoint.json").read_bytes() == text, "the same command makes the same checkpoint"
    status, out, err = smartlb("simulate", "two.yaml", "--checkpoint", "m/checkpoint.json", "--set", "duration_s=2")
    assert (status, err) == (0, "")
    few = ("--seeds", "1", "--jobs", "1", "--policies", "learned,round_robin", "--set", "duration_s=2", "--json", "f")
    found = []
    for more in ((), ("--checkpoint", "m/checkpoint.json")):
        assert smartlb("arena", "two.yaml", *few, *more)[0] == 0
        found.append({of["policy"]: of["mean_ms"] for of in json.loads((tmp_path / "f").read_text())})
    assert found[0]["learned"] != found[1]["learned"]
    assert found[0]["round_robin"] == found[1]["round_robin"]


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (["train"], 2, "expected scenarios and --out DIR, or --offline LOG"),
        (["train", "two.yaml"], 2, "expected scenarios and --out DIR"),
        (["train", "tow", "--out", "m"], 2, "scenario 'tow' unknown"),
        (["train", "two.yaml", "--out", "m", "--held-out", "two.yaml"], 2, "two.yaml:1:"),
        (["train", "two.yaml", "--out", "m", "--held-out", "none"], 2, "none: cannot be read"),
        (["train", "--offline", "two.yaml"], 2, "two.yaml: expected a log"),
        (["train", "--offline", "none.csv"], 1, "none.csv: No such file"),
        (["simulate", "two.yaml", "--checkpoint", "two.yaml"], 2, "two.yaml: expected JSON"),
        (["arena", "two.yaml", "--checkpoint", "none"], 2, "none: cannot be read"),
        (["simulate", "two.yaml", "--set", "learner.checkpoint={path: x}"], 2, "give the command `--checkpoint FILE`"),
    ],
)
def test_what_cannot_be_done_is_said(smartlb: Said, given: list[str], status: int, message: str) -> None:
    found, out, err = smartlb(*given)
    assert (found, out) == (status, "")
    assert message in err


def test_a_checkpoint_of_another_fleet_is_refused(learned: Run) -> None:
    with pytest.raises(CheckpointError, match="backends: expected at least one of 'fleet/server-1'"):
        run(scenario(), "learned", checkpoint=learned.learned)
    assert len(arena([TWO_SPEEDS], ["learned"], 1, jobs=1, checkpoint=learned.learned)) == 1


def test_pinball_is_least_at_the_quantile() -> None:
    actual = np.random.default_rng(0).exponential(1.0, 20_000)
    for level in (0.5, 0.99):
        right = float(np.quantile(actual, level))
        losses = [pinball(actual, np.full(len(actual), right * factor), level) for factor in (0.7, 1.0, 1.4)]
        assert losses[1] == min(losses)


def test_the_yardstick_compares_all_by_the_same_requests(smartlb: Said, tmp_path: Path) -> None:
    assert smartlb("simulate", "two.yaml", "--set", "duration_s=30", "--log", "log.csv")[0] == 0
    status, out, err = smartlb("train", "--offline", "log.csv", "--json", "f.json")
    assert (status, err) == (0, "")
    assert all(model in out for model in ("online", "gradient boosting", "linear"))
    found = json.loads((tmp_path / "f.json").read_text())
    online, boosted, linear = found["scores"]
    for score in (online, boosted, linear):
        assert score["below_p50"] == pytest.approx(0.5, abs=0.08)
        assert score["below_p99"] > 0.95
    assert online["pinball_p50_ms"] < 1.25 * boosted["pinball_p50_ms"]
    assert (found["backends"], found["classes"]) == (2, 1)


def test_the_yardstick_reads_access_logs(learned: Run, tmp_path: Path) -> None:
    frame = learned.frame().rename(columns={"arrived_s": "arrival_s"})
    frame["pool"] = "web"
    path = tmp_path / "access.jsonl"
    columns = ["arrival_s", "pool", "backend", "request_class", "in_flight", "queued_ms", "first_byte_ms"]
    frame[[*columns, "total_ms", "status", "outcome"]].to_json(path, orient="records", lines=True)
    log = read_log(path)
    assert log.backends == ["web/fast", "web/slow"]
    assert len(log.records) == len(learned.log)
    assert (np.diff(log.ended_s) >= 0.0).all()
    assert compare(log).rows >= 5 * (len(frame) // 6)


def test_a_log_that_says_too_little_is_refused(learned: Run) -> None:
    with pytest.raises(LogError, match=f"at least {LEAST_ROWS} requests that succeeded; found 100"):
        as_log(learned.frame().head(100), "few")
    with pytest.raises(LogError, match="expected the columns arrived_s, backend"):
        as_log(pd.DataFrame({"arrived_s": [1.0]}), "other")
