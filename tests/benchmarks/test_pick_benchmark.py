import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pick import BACKENDS, GOALS_US, MOST_WITH_FULL, goals, main
from smartlb.policies.registry import POLICIES


def test_every_policy_is_measured_for_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pick.json"
    main(["--rounds", "1", "--json", str(out)])
    found = json.loads(out.read_text())
    rows = found["rows"]
    measured = {(row["policy"], row["backends"], row["barred"], row["full"]) for row in rows}
    some = [(0, 0), (1, 0), (0, 1)]
    assert measured >= {
        (name, size, barred * size // 10, full * size // 10)
        for name in POLICIES
        for size in BACKENDS
        for barred, full in some
    }
    for row in rows:
        assert 0 < row["pick_us"]["min"] <= row["pick_us"]["median"] <= row["pick_us"]["max"]
        assert row["python_us"]["median"] > 0
        policy = POLICIES[row["policy"].partition(",")[0]]
        assert (row["observe_us"] is not None) == (policy.observe is not None)
    assert len(found["goals"]) == 2 * len(GOALS_US)
    assert all(goal["reached"] == (goal["value"] <= goal["goal"]) for goal in found["goals"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(rows) + len(found["goals"])


def row(backends: int, full: int, median_us: float, policy: str = "learned", barred: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"policy": policy, "backends": backends, "barred": barred, "full": full}
    return found | {"pick_us": {"median": median_us}}


def test_goals_are_of_the_learned_policy() -> None:
    rows = [row(10, 0, 0.4), row(10, 1, 0.5), row(1000, 0, 4.0), row(1000, 100, 4.0)]
    others = [row(10, 0, 9.0, "random"), row(1000, 0, 9.0, barred=100)]
    found = goals([*rows, *others])
    assert [(goal["value"], goal["goal"], goal["reached"]) for goal in found] == [
        (0.4, 0.5, True),
        (4.0, 3.0, False),
        (1.25, MOST_WITH_FULL, False),
        (1.0, MOST_WITH_FULL, True),
    ]
