"""A scenario's workload, from the section to the requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from simulator.workload.demand import Demand
from simulator.workload.request import REQUEST, Requests
from simulator.workload.traces.reading import TraceError
from simulator.workload.workload import Workload, prepare
from smartlb.config.problems import spell

Streams = Callable[[int], Callable[[str], np.random.Generator]]

GENERATED = """
arrivals: {kind: bursts, factor: 3}
classes:
  - {name: page, share: 3, work: {kind: lognormal, mean_ms: 12}}
  - name: chat
    share: 1
    tokens: {input: {kind: lognormal, mean_tokens: 1000}, output: {kind: exponential, mean_tokens: 50}}
    cost: {base_ms: 5, per_input_token_ms: 0.1, per_output_token_ms: 2, noise_sigma: 0.3}
clients: 100
urls: 50
skew: 1.2
"""

LOG = "".join(
    f'h{at % 7} - - [01/Aug/1995:06:{at // 60:02}:{at % 60:02} +0000] "GET /{at % 11}.{kind} HTTP/1.0" 200 {at}000\n'
    for at in range(600)
    for kind in ("gif", "html")
)

TOKENS = "{input: {kind: constant, mean_tokens: 1}, output: {kind: constant, mean_tokens: 1}}"

REPLAYED = """
trace: {path: access.log}
cost: {base_ms: 2, per_kilobyte_ms: 0.1, noise_sigma: 0.4}
classes:
  - {name: image, target_regex: '\\.gif$'}
  - {name: large, kilobytes_from: 500, cost: {base_ms: 70}}
"""


def section(text: str, **changes: Any) -> Any:
    return TypeAdapter(Workload).validate_python(yaml.safe_load(text) | changes)


def everything(demand: Demand, rate: float, duration_s: float, stream: Any, **options: Any) -> Requests:
    return np.concatenate(list(demand.requests(rate, duration_s, stream, **options)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "access.log").write_text(LOG)
    return tmp_path


@pytest.fixture(params=[GENERATED, REPLAYED], ids=["generated", "replayed"])
def demand(request: pytest.FixtureRequest, folder: Path, streams: Streams) -> Demand:
    return prepare(section(request.param), folder, streams(1))


def test_requests_are_what_the_simulator_expects(demand: Demand, streams: Streams) -> None:
    arrays = list(demand.requests(20.0, 60.0, streams(1), routers=3, rows=100))
    assert {len(array) for array in arrays[:-1]} == {100}
    requests = np.concatenate(arrays)
    assert requests.dtype == REQUEST
    assert requests["at_s"][0] >= 0
    assert np.all(np.diff(requests["at_s"]) >= 0)
    assert requests["at_s"][-1] < 60
    assert np.all(requests["first_s"] > 0)
    assert np.all(requests["first_s"] <= requests["work_s"])
    assert set(requests["request_class"].tolist()) == set(range(len(demand.classes)))
    assert set(requests["router"].tolist()) == {0, 1, 2}
    for draw in ("fail_draw", "tail_draw"):
        assert 0 <= requests[draw].min() < 0.1 < 0.9 < requests[draw].max() < 1
    assert len(set(requests["client"].tolist())) > 5
    assert len(set(requests["url"].tolist())) > 5
    assert not np.any(requests["client"] == 0)


def test_the_size_of_arrays_changes_nothing(demand: Demand, streams: Streams) -> None:
    whole = everything(demand, 30.0, 30.0, streams(5), rows=100_000)
    for rows in (1, 7, 256):
        assert everything(demand, 30.0, 30.0, streams(5), rows=rows).tobytes() == whole.tobytes()


def test_the_seed_decides(demand: Demand, streams: Streams) -> None:
    one, again, other = (everything(demand, 30.0, 30.0, streams(seed)) for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes()
    for column in ("at_s", "work_s", "fail_draw", "tail_draw"):
        assert not np.array_equal(one[column][:100], other[column][:100]), column


def test_shares_and_work_are_as_said_beforehand(demand: Demand, streams: Streams) -> None:
    rate, duration_s = (demand.rate, 1e9) if demand.rate else (1000.0, 200.0)
    requests = everything(demand, rate, duration_s, streams(3))
    assert sum(of.share for of in demand.classes) == pytest.approx(1)
    for number, of in enumerate(demand.classes):
        mine = requests[requests["request_class"] == number]
        assert len(mine) / len(requests) == pytest.approx(of.share, rel=0.05)
        assert mine["work_s"].mean() == pytest.approx(of.work_s, rel=0.1)
        assert mine["first_s"].mean() == pytest.approx(of.first_s, rel=0.1)
    assert requests["work_s"].mean() == pytest.approx(demand.work_s, rel=0.05)
    assert requests["first_s"].mean() == pytest.approx(demand.first_s, rel=0.05)


def test_generated_demand_is_known_exactly(streams: Streams) -> None:
    demand = prepare(section(GENERATED), Path(), streams(1))
    page, chat = demand.classes
    assert (page.share, page.work_s, page.first_s) == (0.75, 0.012, 0.012)
    assert (chat.share, chat.work_s, chat.first_s) == pytest.approx((0.25, 0.205, 0.105))
    assert (demand.rate, demand.count, demand.span_s) == (None, None, None)


def test_one_part_leaves_the_draws_of_the_others(streams: Streams) -> None:
    before = everything(prepare(section(GENERATED), Path(), streams(1)), 100.0, 20.0, streams(1))
    even = prepare(section(GENERATED, arrivals={"kind": "even"}), Path(), streams(1))
    alike = everything(even, 100.0, 20.0, streams(1))
    common = min(len(before), len(alike))
    for column in ("work_s", "client", "url", "fail_draw", "tail_draw", "request_class"):
        assert np.array_equal(before[column][:common], alike[column][:common]), column
    fewer = prepare(section(GENERATED, clients=3, urls=2), Path(), streams(1))
    assert np.array_equal(before["at_s"], everything(fewer, 100.0, 20.0, streams(1))["at_s"])


def test_popularity_follows_zipf(streams: Streams) -> None:
    demand = prepare(section(GENERATED), Path(), streams(1))
    requests = everything(demand, 1000.0, 100.0, streams(1))
    for column, size in (("client", 100), ("url", 50)):
        counts = np.sort(np.unique(requests[column], return_counts=True)[1])[::-1]
        assert len(counts) == size
        assert counts[0] / counts[9] == pytest.approx(10**1.2, rel=0.2)


def test_a_replay_keeps_the_trace_and_its_pace(folder: Path, streams: Streams) -> None:
    demand = prepare(section(REPLAYED), folder, streams(1))
    assert demand.count == 1200
    assert demand.span_s == pytest.approx(600, abs=2)
    assert demand.rate == pytest.approx(2, rel=0.01)
    assert demand.source == "trace: common_log access.log: 1,200 requests"
    image, large, default = demand.classes
    assert (image.name, large.name, default.name) == ("image", "large", "default")
    assert (image.share, large.share, default.share) == pytest.approx((0.5, 1 / 12, 5 / 12))
    assert (image.work_s, large.work_s) == pytest.approx((0.002 + 0.0001 * 299.5, 0.070))
    assert demand.rate is not None
    as_recorded = everything(demand, demand.rate, 1e9, streams(1))
    faster = everything(demand, 10 * demand.rate, 1e9, streams(1))
    assert len(as_recorded) == 1200
    assert as_recorded["at_s"][0] == 0
    assert faster["at_s"] == pytest.approx(as_recorded["at_s"] / 10)
    assert np.array_equal(faster["work_s"], as_recorded["work_s"])
    assert len(set(as_recorded["client"].tolist())) == 7
    assert len(set(as_recorded["url"].tolist())) == 22
    # Spread within their seconds, and no further.
    seconds = (as_recorded["at_s"] + (as_recorded["at_s"][2] < 1)).astype(int)
    assert np.abs(np.bincount(seconds)[1:599] - 2).max() <= 2


def test_a_replay_takes_other_seeds_than_its_survey(folder: Path, streams: Streams) -> None:
    demand = prepare(section(REPLAYED), folder, streams(1))
    requests = everything(demand, 2.0, 1e9, streams(99))
    assert len(requests) == 1200
    assert requests["at_s"][0] == 0


def test_classes_that_the_trace_names(tmp_path: Path, streams: Streams) -> None:
    (tmp_path / "a.csv").write_text("at,duration,request_class\n0,0.1,b\n1,0.2,\n2,0.3,a\n3,0.5,b\n")
    demand = prepare(section("trace: {path: a.csv}"), tmp_path, streams(1))
    assert [(of.name, of.share) for of in demand.classes] == [("b", 0.5), ("default", 0.25), ("a", 0.25)]
    assert [of.work_s for of in demand.classes] == pytest.approx([0.3, 0.2, 0.3])
    by_rule = section("{trace: {path: a.csv}, classes: [{name: a}]}")
    assert [of.name for of in prepare(by_rule, tmp_path, streams(1)).classes] == ["a"]
    renamed = section("{trace: {path: a.csv}, classes: [{name: x, recorded_class: b}]}")
    assert [of.name for of in prepare(renamed, tmp_path, streams(1)).classes] == ["x", "default", "a"]


def test_too_many_classes_are_refused(tmp_path: Path, streams: Streams) -> None:
    rows = "".join(f"{at},1,class{at}\n" for at in range(300))
    (tmp_path / "a.csv").write_text(f"at,duration,request_class\n{rows}")
    with pytest.raises(TraceError, match=r"a\.csv: the trace names more than 256 classes"):
        prepare(section("trace: {path: a.csv}"), tmp_path, streams(1))


def test_a_trace_without_durations_needs_a_cost(folder: Path, streams: Streams) -> None:
    with pytest.raises(TraceError, match=r"access\.log:11: the duration is not known.*cost: \{base_ms: 2"):
        prepare(section("trace: {path: access.log}"), folder, streams(1))


def test_a_trace_in_no_time_is_refused(tmp_path: Path, streams: Streams) -> None:
    (tmp_path / "a.csv").write_text("at,duration\n5,1\n5,1\n")
    with pytest.raises(TraceError, match="2 requests in no time at all"):
        prepare(section("trace: {path: a.csv}"), tmp_path, streams(1))


def test_a_stand_in_takes_the_place_of_a_trace_only_when_asked_to(tmp_path: Path, streams: Streams) -> None:
    absent = section("trace: {path: a.csv, fetch: Get it at example.org}")
    with_stand_in = section(
        "trace: {path: a.csv, stand_in: {classes: [{name: x, work: {kind: constant, mean_ms: 5}}]}}"
    )
    with pytest.raises(TraceError, match=r"no such file or folder\. Get it at example\.org$"):
        prepare(absent, tmp_path, streams(1))
    with pytest.raises(TraceError, match=r"nothing stands in for it; add `trace\.stand_in`"):
        prepare(absent, tmp_path, streams(1), use_stand_in=True)
    with pytest.raises(TraceError, match=r"Or let its stand-in take its place$"):
        prepare(with_stand_in, tmp_path, streams(1))
    assert prepare(with_stand_in, tmp_path, streams(1), use_stand_in=True).work_s == 0.005


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: []", "at least 1 item"),
        ("classes: [{name: a}]", "class 'a': give `work`, or `tokens` with their `cost`"),
        (
            f"classes: [{{name: a, tokens: {TOKENS}}}]",
            "`tokens` and `cost` belong together",
        ),
        (
            f"classes: [{{name: a, tokens: {TOKENS}, cost: {{per_kilobyte_ms: 1}}}}]",
            "generated requests have neither bytes nor a recorded time",
        ),
        ("classes: [&a {name: a, work: {kind: constant, mean_ms: 1}}, *a]", "2 classes are called 'a'"),
        ("{trace: {path: x}, classes: [{name: a}, {name: a}]}", "2 classes are called 'a'"),
        ("{trace: {path: x}, arrivals: {kind: even}}", "not permitted"),
        ("{trace: {path: x}, classes: [{name: a, target_regex: '('}]}", "expected a regular expression"),
        ("{trace: {path: x}, cost: {base_ms: 0}}", "expected a cost above zero"),
        ("{trace: {path: x, malformed_share: 2}}", "less than or equal to 1"),
    ],
)
def test_contradictions_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        section(text)
    assert message in str(refused.value)
    assert spell(refused.value.errors()[0]["loc"])
