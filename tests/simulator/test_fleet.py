"""The fleet against numbers that can be worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.fleet import Backend, Group, backends, capacity, highest_rate, positions
from simulator.kernel.state import Server
from simulator.measured import Measured, MeasuredError


def fleet(*groups: dict[str, Any], classes: tuple[str, ...] = ("a",), seed: int = 0) -> list[Backend]:
    return backends([Group.model_validate(group) for group in groups], classes, np.random.default_rng(seed))


def best(of: list[Backend], share: list[float], mean_work_s: list[float]) -> float:
    return highest_rate(of, np.array(share), np.array(mean_work_s))


# How much a fleet carries


def test_one_class_is_cores_by_speed_by_work() -> None:
    of = fleet({"name": "a", "count": 2, "cores": 2, "speed": 0.5}, {"name": "b", "cores": 3, "speed": 2.0})
    # 2 and 6 s of work a second, at 20 ms a request.
    assert best(of, [1.0], [0.02]) == pytest.approx(400.0)


def test_classes_that_cost_differently_count_by_their_work() -> None:
    of = fleet({"name": "a", "cores": 4}, classes=("a", "b"))
    assert best(of, [0.75, 0.25], [0.01, 0.05]) == pytest.approx(4.0 / 0.02)


def test_each_class_goes_where_it_is_fast() -> None:
    of = fleet(
        *(
            {"name": name, "count": 3, "cores": 2, "speed": 0.25, "class_speed": {name: 1.0}}
            for name in ("images", "search", "reports")
        ),
        classes=("images", "search", "reports"),
    )
    # A third of the fleet does 6 s of work a second for a third of the requests.
    assert best(of, [1 / 3] * 3, [0.02] * 3) == pytest.approx(900.0)


def test_what_does_not_fit_goes_where_it_is_slow() -> None:
    of = fleet({"name": "good"}, {"name": "poor", "class_speed": {"b": 0.5}}, classes=("a", "b"))
    # At r a second, `good` does 1 s of b; `poor` does all of a, r / 4, and the rest of b at twice its work:
    # r / 4 + 2 (3 r / 4 - 1) = 1.
    assert best(of, [0.25, 0.75], [1.0, 1.0]) == pytest.approx(12.0 / 7.0)


def test_a_class_is_never_worse_off_than_anywhere_at_random() -> None:
    of = fleet({"name": "x", "class_speed": {"a": 4.0}}, {"name": "y", "class_speed": {"b": 4.0}}, classes=("a", "b"))
    at_random = capacity(of, np.array([0.5, 0.5])).sum()
    assert at_random == pytest.approx(2 * 1.6)
    assert best(of, [0.5, 0.5], [1.0, 1.0]) == pytest.approx(8.0)


def test_a_batch_slows_all_in_it() -> None:
    of = fleet({"name": "gpu", "discipline": "batching", "batch": 10, "batch_growth": 0.1, "speed": 3.0})
    assert of[0].parallel == pytest.approx(10.0 / 1.9)
    assert best(of, [1.0], [1.0]) == pytest.approx(30.0 / 1.9)


@pytest.mark.parametrize("discipline", ["fifo", "sharing"])
@pytest.mark.parametrize("queue", [0, 1000])
def test_neither_the_discipline_nor_the_queue_makes_more_of_cores(discipline: str, queue: int) -> None:
    (only,) = fleet({"name": "a", "cores": 4, "discipline": discipline, "queue": queue})
    assert only.parallel == 4.0


def test_backends_that_are_alike_make_no_difference_to_one_that_is_as_large() -> None:
    many = fleet({"name": "a", "count": 500, "cores": 2, "class_speed": {"b": 0.5}}, classes=("a", "b"))
    one = fleet({"name": "a", "cores": 1000, "class_speed": {"b": 0.5}}, classes=("a", "b"))
    assert best(many, [0.5, 0.5], [0.1, 0.2]) == pytest.approx(best(one, [0.5, 0.5], [0.1, 0.2]))


speeds = st.floats(0.1, 10.0)
group = st.fixed_dictionaries(
    {"cores": st.integers(1, 8), "speed": speeds, "class_speed": st.dictionaries(st.sampled_from("ab"), speeds)}
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(group, min_size=1, max_size=4), st.floats(0.05, 0.95), st.integers(0, 3), st.floats(0.25, 4.0))
def test_more_carries_more(groups: list[dict[str, Any]], share: float, at: int, factor: float) -> None:
    def rate(*given: dict[str, Any]) -> float:
        of = fleet(*({"name": f"g{at}", **group} for at, group in enumerate(given)), classes=("a", "b"))
        return best(of, [share, 1.0 - share], [0.1, 0.3])

    before = rate(*groups)
    at %= len(groups)
    more = [{**group, "cores": group["cores"] + (number == at)} for number, group in enumerate(groups)]
    assert rate(*more) >= before * (1.0 - 1e-6)
    twice = [{**group, "cores": group["cores"] * 2} for group in groups]
    assert rate(*twice) == pytest.approx(2.0 * before, rel=1e-6)
    faster = [
        {
            **group,
            "speed": factor * group["speed"],
            "class_speed": {name: factor * speed for name, speed in group["class_speed"].items()},
        }
        for group in groups
    ]
    assert rate(*faster) == pytest.approx(factor * before, rel=1e-6)
    # No split can do better than every request at its fastest backend with the whole fleet to itself.
    of = fleet(*({"name": f"g{at}", **group} for at, group in enumerate(groups)), classes=("a", "b"))
    fastest = np.max([backend.server.speed for backend in of], axis=0)
    least_s = share * 0.1 / fastest[0] + (1.0 - share) * 0.3 / fastest[1]
    assert before <= sum(backend.parallel for backend in of) / least_s * (1.0 + 1e-6)
    # And none need do worse than all backends with the same mix.
    work = np.array([share * 0.1, (1.0 - share) * 0.3])
    assert before >= capacity(of, work / work.sum()).sum() / work.sum() * (1.0 - 1e-6)


def test_capacity_is_of_the_mix_of_work() -> None:
    of = fleet({"name": "x", "cores": 2, "class_speed": {"b": 0.5}}, {"name": "y", "speed": 3.0}, classes=("a", "b"))
    # Half of the work at speed 1, half at 0.5: 1.5 s for a second of work, on two cores.
    assert capacity(of, np.array([0.5, 0.5])) == pytest.approx([2.0 / 1.5, 3.0])
    assert capacity(of, np.array([1.0, 0.0])) == pytest.approx([2.0, 3.0])


# Who is in it


def test_names_are_numbered_where_there_are_several() -> None:
    of = fleet({"name": "one"}, {"name": "many", "count": 3, "weight": 2.0})
    assert [backend.name for backend in of] == ["one", "many-1", "many-2", "many-3"]
    assert [backend.group for backend in of] == ["one", "many", "many", "many"]
    assert [backend.weight for backend in of] == [1.0, 2.0, 2.0, 2.0]
    assert positions(of) == {"one": [0], "many": [1, 2, 3], "many-1": [1], "many-2": [2], "many-3": [3]}


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ({"cores": 3, "queue": 7}, Server(3, 3.0, 0.0, 10, 0.001, (2.0, 5.0))),
        ({"cores": 3, "queue": 7, "discipline": "sharing"}, Server(10, 3.0, 0.0, 10, 0.001, (2.0, 5.0))),
        (
            {"discipline": "batching", "batch": 8, "batch_growth": 0.1, "queue": 7, "round_trip_s": 0.0},
            Server(8, 8.0, 0.1, 15, 0.0, (2.0, 5.0)),
        ),
    ],
    ids=["fifo", "sharing", "batching"],
)
def test_a_discipline_is_what_the_kernel_serves_by(given: dict[str, Any], server: Server) -> None:
    (only,) = fleet({"name": "x", "speed": 2.0, "class_speed": {"b": 5.0}, **given}, classes=("a", "b"))
    assert only.server == server


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 8}, "`discipline: batching` beside `batch`"),
        ({"batch_growth": 0.5, "discipline": "sharing"}, "`discipline: batching` beside `batch_growth`"),
        ({"discipline": "batching", "cores": 2}, "expected `batch` alone"),
        ({"discipline": "lifo"}, "discipline"),
        ({"cores": 0}, "greater than or equal to 1"),
        ({"speed": 0.0}, "greater than 0"),
        ({"class_speed": {"a": 0.0}}, "greater than 0"),
        ({"count": 0}, "greater than or equal to 1"),
        ({"corse": 2}, "corse"),
    ],
)
def test_a_group_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Group.model_validate({"name": "x", **wrong})


# Speeds that were measured

STAND_IN = {"0.0": 50.0, "0.5": 100.0, "1.0": 400.0}


def measured(path: Path | str, **given: Any) -> Measured:
    return Measured.model_validate({"path": str(path), "stand_in": STAND_IN, **given})


def test_measurements_are_relative_to_their_median(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("machine,value\nx,10\ny,20\nz,40\nbroken,\nworse,nan\nworst,-3\n")
    drawn = measured(file).draw(np.random.default_rng(0), 300)
    assert set(drawn.tolist()) == {0.5, 1.0, 2.0}


def test_another_column_and_variables_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.csv").write_text("value,other\n1,7\n2,7\n")
    monkeypatch.setenv("SMARTLB_SOMEWHERE", str(tmp_path))
    here = measured("${SMARTLB_SOMEWHERE}/m.csv", column="other")
    assert here.available
    assert here.draw(np.random.default_rng(0), 3).tolist() == [1.0, 1.0, 1.0]


def test_a_stand_in_takes_the_place_of_measurements_that_are_not_there(tmp_path: Path) -> None:
    there = measured(tmp_path / "nowhere.csv")
    assert not there.available
    drawn = there.draw(np.random.default_rng(0), 20_000)
    assert drawn.min() >= 0.5
    assert drawn.max() <= 4.0
    assert np.quantile(drawn, [0.25, 0.5, 0.75]) == pytest.approx([0.75, 1.0, 2.5], abs=0.05)


def test_each_backend_has_a_speed_of_its_own_for_all_classes(tmp_path: Path) -> None:
    given = {"name": "vm", "count": 3, "speed": 2.0, "class_speed": {"b": 6.0}}
    group = {**given, "measured_speed": {"path": str(tmp_path / "nowhere.csv"), "stand_in": STAND_IN}}
    first, again, other = (
        [backend.server.speed for backend in fleet(group, classes=("a", "b"), seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(set(first)) == 3
    assert all(of_b == pytest.approx(3.0 * of_a) for of_a, of_b in first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("machine,speed\nx,1\n", "no column 'value'; expected one of: machine, speed"),
        ("", "no column 'value'"),
        ("value\nfast\n-1\n0\n", "the column 'value' has no number above 0"),
        ("value\n", "the column 'value' has no number above 0"),
        ("machine,value\nx,1\ny\n", "m.csv"),
        ("value\n\xff\n", "m.csv"),
    ],
)
def test_measurements_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(MeasuredError, match=message):
        measured(file).draw(np.random.default_rng(0), 2)


@pytest.mark.parametrize(
    ("stand_in", "message"),
    [
        ({"0.5": 1.0}, "at least 2"),
        ({"low": 1.0, "high": 2.0}, "between 0 and 1 as the keys"),
        ({"0.0": 1.0, "1.5": 2.0}, "between 0 and 1, ascending"),
        ({"0.9": 1.0, "0.1": 2.0}, "between 0 and 1, ascending"),
        ({"0.1": 2.0, "0.9": 1.0}, "ascend with the quantiles"),
        ({"0.1": 0.0, "0.9": 1.0}, "greater than 0"),
        ({"nan": 1.0, "0.9": 1.0}, "between 0 and 1"),
    ],
)
def test_a_stand_in_that_cannot_be(stand_in: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        measured("x.csv", stand_in=stand_in)
