import json
from math import inf
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import goals
from benchmarks.learning.__main__ import PARTS, main
from benchmarks.learning.change import WINDOW_S, Seen
from benchmarks.learning.goals import Row
from benchmarks.learning.standing import APART, LEVELS, at_level
from benchmarks.rig.goals import Bound
from simulator.scenario import Scenario


def test_everything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "learning.json"
    main(["--quick", "--jobs", "1", "--json", str(out)])
    content = json.loads(out.read_text())
    found = content["rows"]
    standing = [f"{part}.{level:g}" for part in ("loads", "routers") for level in LEVELS] + ["held_out"]
    assert found.keys() == {*standing, *(f"{part}.scenarios" for part in standing), "slow_down", "joining", "cost"}
    for part in standing:
        for line in found[f"{part}.scenarios"]:
            assert line["p99_over_clairvoyant"] > 0.5
            assert line["mean_over_clairvoyant"] > 0.5
            other = line["best_other"]["p99_ms"]
            assert other is None if part.startswith("routers") else other["policy"] == "least_connections"
    # The load that was asked for, or the highest below; at its surge this fleet would have to carry 1.1 of what it can.
    surge = next(line for line in found["loads.0.8.scenarios"] if line["scenario"] == "flash_crowd")
    assert surge["asked"] == 0.8
    keys = [row["key"] for part in found if not part.endswith(".scenarios") for row in found[part]]
    assert len(keys) == len(set(keys))
    assert goals.GOALS.keys() <= set(keys) | {f"cost.1000.{name}" for name in ("cores", "tick", "age", "age.worst")}
    judged = [row for part in found if not part.endswith(".scenarios") for row in found[part] if row["met"] is not None]
    assert [goal["reached"] for goal in content["goals"]] == [row["met"] for row in judged]
    printed = capsys.readouterr().out
    assert "true_weights_least_connections†" in printed
    assert "age of a snapshot" in printed


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["costs"])
    assert f"part costs unknown (one of: {', '.join(PARTS)})" in capsys.readouterr().err


def test_a_load_that_cannot_be_carried_all_the_time_is_lowered() -> None:
    found = at_level(["homogeneous", "cold_start", "flash_crowd"], 0.8, {})
    assert [of.utilisation for of in found] == [0.8, 0.7, 0.4]
    assert all(isinstance(of.scenario, Scenario) and of.scenario.load.utilisation == of.utilisation for of in found)
    (apart,) = at_level(["homogeneous"], 0.5, APART)
    assert apart.scenario.routers.count == 20
    assert not apart.scenario.routers.share_in_flight


@pytest.mark.parametrize(
    ("bound", "figure", "met"),
    [
        (Bound(2.0), 1.9, True),
        (Bound(2.0), 2.1, False),
        (Bound(2.0), inf, False),
        (Bound(2.0), None, False),
        (Bound(0.8, at_least=True), 0.9, True),
        (Bound(0.8, at_least=True), 0.7, False),
    ],
)
def test_a_figure_keeps_its_goal_or_not(
    monkeypatch: pytest.MonkeyPatch, bound: Bound, figure: float | None, met: bool
) -> None:
    assert Row("a", "a figure", figure).met is None
    monkeypatch.setattr(goals, "GOALS", {"a": bound})
    row = Row("a", "a figure", figure)
    assert row.met is met
    assert row.as_json()["figure"] == (None if figure in (None, inf) else figure)


def seen(share_at: list[tuple[float, float]], until_s: float = 20.0) -> Seen:
    """A hundred requests a second, of which the share that is given from each time on goes to the one that changes."""
    sent_s = np.arange(0.0, until_s, 0.01)
    share = np.array([next(share for at_s, share in reversed(share_at) if at_s <= now_s) for now_s in sent_s.tolist()])
    here = np.floor(np.cumsum(share) + 1e-9) > np.floor(np.cumsum(share) - share + 1e-9)
    return Seen(1, sent_s, here, sent_s, np.where(here, 90.0, 10.0), here, [(10.0, 0.25)])


def test_a_share_settles_when_it_is_right_and_stays_so() -> None:
    assert seen([(0.0, 0.5), (7.0, 0.1)]).settles_s(5.0, 20.0, 0.1) == pytest.approx(2.0 + WINDOW_S, abs=0.15)
    assert seen([(0.0, 0.1)]).settles_s(5.0, 20.0, 0.1) == pytest.approx(WINDOW_S)
    assert seen([(0.0, 0.5)]).settles_s(5.0, 20.0, 0.1) == inf
    # For two seconds only, then again for good.
    for_good = seen([(0.0, 0.5), (6.0, 0.1), (8.0, 0.5), (10.0, 0.1)])
    assert for_good.settles_s(5.0, 20.0, 0.1) == pytest.approx(5.0 + WINDOW_S, abs=0.15)


def test_what_is_seen_of_a_backend_that_changes() -> None:
    of = seen([(0.0, 0.5)])
    assert of.share(2.0, 4.0) == pytest.approx(0.5)
    assert of.p99_ms(2.0, 4.0) == 90.0
    assert of.p99_ms(30.0, 40.0) is None
    assert of.p99_ms(2.0, 4.0, changed_only=True) == 90.0
    # Fifty requests a second of 14 ms on two cores; from 10 s on at a quarter of their speed.
    assert of.most_load(2.0, 8.0) == pytest.approx(0.35, rel=0.03)
    assert of.most_load(2.0, 15.0) == pytest.approx(1.4, rel=0.03)
