"""Requests that are at hand already: the rows of a DataFrame go through the simulator as they are."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator.api import run
from simulator.result import latency_s
from simulator.streams import streams
from simulator.workload.given import Given, GivenError
from simulator.workload.request import REQUEST, Requests
from tests.simulator.scenarios import scenario

FRAME = pd.DataFrame(
    {
        "at_s": [0.0, 1.0, 1.5, 4.0],
        "work_s": [0.1, 0.2, 0.3, 0.4],
        "first_s": [0.1, 0.1, 0.2, 0.3],
        "request_class": ["page", "report", "page", "page"],
        "client": ["10.0.0.1", "10.0.0.2", "10.0.0.1", ""],
        "url": ["/a", "/b", "/a", "/c"],
    }
)


def taken(of: Given, rate: float | None = None, duration_s: float = 100.0, **given: Any) -> Requests:
    return np.concatenate([np.zeros(0, REQUEST), *of.requests(rate or of.rate, duration_s, streams(0), **given)])


def rows(**columns: Any) -> Requests:
    """Four good requests, or as `columns` say."""
    made = np.zeros(4, REQUEST)
    made["at_s"], made["work_s"], made["first_s"] = [0.0, 1.0, 2.0, 3.0], 0.2, 0.1
    for name, values in columns.items():
        made[name] = values
    return made


def test_the_same_requests_come_out() -> None:
    out = taken(Given.from_frame(FRAME))
    for column in ("at_s", "work_s", "first_s"):
        assert out[column].tolist() == FRAME[column].tolist()
    assert out["request_class"].tolist() == [0, 1, 0, 0]
    assert out["client"][0] == out["client"][2] != out["client"][1]
    assert out["client"][3] == 0
    assert out["url"][0] == out["url"][2]
    assert len(set(out["url"].tolist())) == 3


def test_what_is_known_of_them_beforehand() -> None:
    of = Given.from_frame(FRAME)
    assert (of.count, of.span_s, of.rate) == (4, 4.0, 0.75)
    page, report = of.classes
    assert (page.name, page.share) == ("page", 0.75)
    assert [page.work_s, page.first_s] == pytest.approx([0.8 / 3, 0.2])
    assert (report.name, report.share, report.work_s, report.first_s) == ("report", 0.25, 0.2, 0.1)
    assert of.work_s == pytest.approx(0.25)
    assert of.source == "4 requests as given"


def test_two_columns_are_enough() -> None:
    of = Given.from_frame(FRAME[["at_s", "work_s"]])
    out = taken(of)
    assert [kind.name for kind in of.classes] == ["default"]
    assert out["first_s"].tolist() == out["work_s"].tolist()
    assert not out["client"].any()


def test_times_begin_at_the_first_and_rows_are_put_in_order() -> None:
    frame = FRAME.assign(at_s=FRAME["at_s"] + 1000.0).iloc[[2, 0, 3, 1]]
    out = taken(Given.from_frame(frame))
    assert out["at_s"].tolist() == FRAME["at_s"].tolist()
    assert out["work_s"].tolist() == FRAME["work_s"].tolist()
    assert frame["at_s"].tolist() == [1001.5, 1000.0, 1004.0, 1001.0], "whose frame it is keeps it as it was"


def test_requests_of_one_time_keep_their_order() -> None:
    frame = pd.DataFrame({"at_s": [1.0, 0.0, 1.0, 1.0], "work_s": [0.1, 0.4, 0.2, 0.3]})
    assert taken(Given.from_frame(frame))["work_s"].tolist() == [0.4, 0.1, 0.2, 0.3]


def test_faster_is_the_same_in_less_time() -> None:
    of = Given.from_frame(FRAME)
    out = taken(of, rate=1.5)
    assert out["at_s"].tolist() == [0.0, 0.5, 0.75, 2.0]
    assert out["work_s"].tolist() == FRAME["work_s"].tolist()
    # What was made faster has changed nothing.
    assert taken(of)["at_s"].tolist() == FRAME["at_s"].tolist()


@pytest.mark.parametrize(("duration_s", "count"), [(0.0, 0), (1.0, 1), (1.001, 2), (4.0, 3), (4.1, 4)])
def test_what_comes_after_the_end_is_left_out(duration_s: float, count: int) -> None:
    assert len(taken(Given.from_frame(FRAME), duration_s=duration_s)) == count


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_size_of_a_chunk_changes_nothing(size: int) -> None:
    of = Given.from_frame(FRAME)
    chunks = list(of.requests(of.rate, 100.0, streams(0), routers=3, rows=size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert np.concatenate(chunks).tobytes() == taken(of, routers=3).tobytes()


def test_chance_is_drawn_as_for_any_workload() -> None:
    of = Given(rows(fail_draw=0.5, router=9), ["a"])
    out = taken(of, routers=2)
    assert len(set(out["fail_draw"].tolist())) == 4
    assert set(out["router"].tolist()) <= {0, 1}
    assert not taken(of, unread=frozenset({"tail_draw"}))["tail_draw"].any()


def test_a_run_serves_them_as_they_are() -> None:
    frame = pd.DataFrame({"at_s": np.arange(50) * 0.1, "work_s": np.tile([0.01, 0.03], 25)})
    of = run(scenario(load={"speedup": 1.0}), "round_robin", requests=frame)
    log = of.log[np.argsort(of.log["request"])]
    assert log["arrived_s"] == pytest.approx(frame["at_s"].to_numpy())
    assert latency_s(log) == pytest.approx(frame["work_s"].to_numpy(), abs=1e-6)
    assert of.speedup == 1.0
    assert of.rate == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="at_s"), "no column at_s; expected at_s and work_s"),
        (FRAME.drop(columns="work_s"), "no column work_s; expected at_s and work_s"),
        (FRAME.iloc[:0], "0 requests; expected at least two"),
        (FRAME.iloc[:1], "1 requests; expected at least two"),
        (FRAME.assign(at_s=1.0), "at_s: expected finite times that ascend, apart in time"),
        (FRAME.assign(at_s=[0.0, 1.0, np.nan, 2.0]), "at_s: expected finite times"),
        (FRAME.assign(at_s=[0.0, 1.0, np.inf, 2.0]), "at_s: expected finite times"),
        (
            FRAME.assign(work_s=[0.1, 0.0, 0.1, 0.1], first_s=0.1),
            "work_s: row 1 has 0; expected finite work above zero",
        ),
        (FRAME.assign(work_s=[0.1, 0.1, -1.0, 0.1], first_s=0.1), "work_s: row 2 has -1; expected finite work"),
        (FRAME.assign(work_s=[0.1, 0.1, 0.1, np.nan], first_s=0.1), "work_s: row 3 has nan; expected finite work"),
        (FRAME.assign(work_s=np.inf, first_s=0.1), "work_s: row 0 has inf; expected finite work above zero"),
        (FRAME.assign(first_s=0.0), "first_s: row 0 has 0; expected finite work above zero"),
        (FRAME.assign(first_s=0.5), "first_s: expected at most work_s"),
    ],
)
def test_a_frame_that_cannot_be(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(GivenError, match=f"^{message}"):
        Given.from_frame(frame)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"request_class": [0, 1, 2, 0]}, "request_class: expected numbers from 0 to 1"),
        ({"request_class": [0, -1, 0, 0]}, "request_class: expected numbers from 0 to 1"),
        ({"at_s": [-1.0, 0.0, 1.0, 2.0]}, "at_s: expected finite times that ascend"),
        ({"at_s": [0.0, 2.0, 1.0, 3.0]}, "at_s: expected finite times that ascend"),
    ],
)
def test_rows_that_cannot_be(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(GivenError, match=f"^{message}"):
        Given(rows(**columns), ["a", "b"])


def test_a_class_of_which_nothing_comes_has_no_share() -> None:
    of = Given(rows(request_class=1), ["a", "b"])
    never, always = of.classes
    assert (never.share, never.work_s) == (0.0, 0.0)
    assert [always.share, always.work_s] == pytest.approx([1.0, 0.2])
