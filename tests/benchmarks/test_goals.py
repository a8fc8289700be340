import json
from math import inf
from pathlib import Path

import pytest

from benchmarks.rig.command import Options, publish, run
from benchmarks.rig.goals import Goal, at_least, at_most, lines, ratio
from benchmarks.rig.processes import BenchmarkError


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (at_least("x", 1.0, 1.0), True),
        (at_least("x", 0.99, 1.0), False),
        (at_most("x", 1.0, 1.0), True),
        (at_most("x", 1.01, 1.0), False),
        (at_most("x", inf, 1.0), False),
        (at_most("x", None, 1.0), False),
    ],
)
def test_a_goal_is_reached_or_not(goal: Goal, reached: bool) -> None:
    assert goal.reached is reached


def test_a_goal_in_json_says_its_direction_and_has_numbers_only() -> None:
    goals = [at_least("requests/s", 2.5, 3), at_most("ms", inf, 1), at_most("MB", None, 40)]
    assert [goal.as_json() for goal in goals] == [
        {"name": "requests/s, at least 3", "value": 2.5, "goal": 3, "reached": False},
        {"name": "ms, at most 1", "value": None, "goal": 1, "reached": False},
        {"name": "MB, at most 40", "value": None, "goal": 40, "reached": False},
    ]


def test_a_line_tells_missed_goals_from_figures_that_are_not_there() -> None:
    reached, missed, absent = lines([at_most("a", 1, 2), at_most("b", 3, 2), at_most("c", None, 2)])
    assert reached == "reached      a: 1, at most 2"
    assert missed.startswith("MISSED")
    assert absent.startswith("not measured")


def test_a_ratio_needs_both() -> None:
    assert ratio(1.0, 3.0) == 0.333
    assert ratio(None, 3.0) is ratio(1.0, None) is ratio(1.0, 0.0) is None


def test_the_file_has_rows_goals_and_where_it_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder" / "out.json"
    publish(out, [{"a": 1}], [at_most("a", 1, 0)], {"seed": 7})
    found = json.loads(out.read_text())
    assert found["rows"] == [{"a": 1}]
    assert found["goals"] == [{"name": "a, at most 0", "value": 1, "goal": 0, "reached": False}]
    assert found["seed"] == 7
    assert found.keys() >= {"version", "platform", "python", "cores"}
    assert "MISSED" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise BenchmarkError("the proxy has no legs")

    assert run(fail) == 2
    assert run(lambda: 1) == 1
    assert "the proxy has no legs" in capsys.readouterr().err


def test_options_have_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    options = Options("x", "what it measures")
    options.rounds(5, "of all")
    options.seconds(4, "of load", least=2, most=9)
    assert options.parse_args(["--seconds", "2.5"]).rounds == 5
    for arguments in (["--rounds", "0"], ["--seconds", "1"], ["--seconds", "10"]):
        with pytest.raises(SystemExit):
            options.parse_args(arguments)
    assert "python -m benchmarks.x" in capsys.readouterr().err
