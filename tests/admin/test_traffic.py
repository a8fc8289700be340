"""Traffic: every record is counted once, where it belongs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.admin.histogram import BOUNDS_S
from smartlb.admin.request_counts import STATUS_CLASSES
from smartlb.admin.traffic import Traffic
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering, Renumbering
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE, RECORD, Records
from smartlb.learning.cells import Latency

MakeRecords = Callable[..., Records]


@pytest.fixture
def traffic(numbering: Numbering) -> Traffic:
    return Traffic(numbering)


def test_requests_are_counted_by_route_backend_and_status_class(traffic: Traffic, make_records: MakeRecords) -> None:
    traffic.add(
        make_records(
            {"route": 0, "backend": 1, "status": 200},
            {"route": 0, "backend": 1, "status": 299},
            {"route": 1, "backend": 2, "status": 503},
            {"route": 0, "backend": NO_BACKEND, "status": 503, "outcome": Outcome.NO_BACKEND},
            {"route": NO_ROUTE, "backend": NO_BACKEND, "status": 404, "outcome": Outcome.NO_ROUTE},
            {"route": 0, "backend": 0, "status": 0, "outcome": Outcome.CLIENT_GONE},
            {"route": 0, "backend": 0, "status": 999},
        ),
        now_s=1.0,
    )
    found = {(each.route, each.backend, STATUS_CLASSES[each.status_class]): each.requests for each in traffic.requests}
    assert found == {
        (0, 1, "2xx"): 2,
        (1, 2, "5xx"): 1,
        (0, 3, "5xx"): 1,
        (2, 3, "4xx"): 1,
        (0, 0, "none"): 1,
        (0, 0, "other"): 1,
    }
    assert traffic.by_backend().tolist() == [2, 2, 1]


def test_outcomes_and_failures(traffic: Traffic, make_records: MakeRecords) -> None:
    traffic.add(
        make_records(
            {"outcome": Outcome.RESET, "status": 502},
            {"outcome": Outcome.COMPLETE, "status": 500},
            {"outcome": Outcome.COMPLETE, "status": 429},
            {"outcome": Outcome.CLIENT_GONE, "status": 0},
            {"outcome": Outcome.COMPLETE, "status": 404},
            {"outcome": Outcome.QUEUE_FULL, "status": 503, "backend": NO_BACKEND},
        ),
        now_s=1.0,
    )
    assert traffic.outcomes[Outcome.COMPLETE] == 3
    assert traffic.outcomes[Outcome.RESET] == traffic.outcomes[Outcome.QUEUE_FULL] == 1
    assert traffic.failures.tolist() == [3, 0, 0]


@pytest.mark.parametrize(("latency", "dropped"), [("first_byte", 2), ("total", 1)])
def test_what_the_learner_leaves_out_is_counted_by_reason(
    numbering: Numbering, make_records: MakeRecords, latency: Latency, dropped: int
) -> None:
    traffic = Traffic(numbering, latency)
    for _ in range(2):
        traffic.add(
            make_records(
                {"first_byte_s": -1.0},
                {"first_byte_s": math.nan, "total_s": math.inf},
                {"first_byte_s": math.nan, "outcome": Outcome.RESPONSE_TIMEOUT, "status": 504},
                {"first_byte_s": math.nan, "outcome": Outcome.CLIENT_GONE, "status": 0},
                {"in_flight": 2**32 - 1},
                {"backend": 99},
                {"backend": NO_BACKEND},  # a route answered by itself
            ),
            now_s=1.0,
        )
    assert traffic.dropped == {"latency": 2 * dropped, "in_flight": 2, "unknown": 2}


def test_bytes_are_summed_exactly(traffic: Traffic, make_records: MakeRecords) -> None:
    large = 2**53 + 1
    traffic.add(
        make_records(
            {"backend": 1, "request_bytes": 10, "response_bytes": large},
            {"backend": 1, "request_bytes": 5, "response_bytes": 1},
            {"backend": NO_BACKEND, "request_bytes": 3},
        ),
        now_s=1.0,
    )
    assert traffic.request_bytes.tolist() == [0, 15, 0, 3]
    assert traffic.response_bytes.tolist() == [0, large + 1, 0, 0]


def test_latencies_fall_in_the_bucket_whose_bound_they_do_not_exceed(
    traffic: Traffic, make_records: MakeRecords
) -> None:
    traffic.add(
        make_records(
            {"backend": 1, "request_class": 1, "total_s": 0.5, "first_byte_s": 0.02},
            {"backend": 1, "request_class": 1, "total_s": 0.51, "first_byte_s": math.nan},
            {"backend": 1, "request_class": 0, "total_s": 1000.0, "first_byte_s": 0.0},
        ),
        now_s=1.0,
    )
    totals = traffic.total_s.counts
    assert totals[1, 1, BOUNDS_S.index(0.5)] == 1
    assert totals[1, 1, BOUNDS_S.index(1.0)] == 1
    assert totals[1, 0, len(BOUNDS_S)] == 1
    assert traffic.total_s.sums[1, 1] == pytest.approx(1.01)
    assert traffic.first_byte_s.counts[1, 1].sum() == 1
    assert traffic.first_byte_s.sums[1, 1] == pytest.approx(0.02)
    assert traffic.first_byte_s.counts[1, 0, 0] == 1


def test_the_window_has_counts_shares_and_quantiles(traffic: Traffic, make_records: MakeRecords) -> None:
    latencies = [0.010] * 98 + [0.200] * 2
    rows = [{"backend": 0, "total_s": latency} for latency in latencies]
    rows += [{"backend": 1, "total_s": 0.030, "status": 503}] * 25
    rows += [{"backend": NO_BACKEND, "outcome": Outcome.NO_BACKEND}] * 5
    traffic.add(make_records(*rows), now_s=50.0)
    first, second, third = traffic.window(50.1)
    assert (first.requests, first.failures, first.share) == (100, 0, 0.8)
    assert first.p50_s == pytest.approx(0.010, rel=0.026)
    assert first.p99_s == pytest.approx(0.200, rel=0.026)
    assert (second.requests, second.failures, second.share) == (25, 25, 0.2)
    assert second.p50_s == pytest.approx(0.030, rel=0.026)
    assert (third.requests, third.share, third.p50_s, third.p99_s) == (0, 0.0, None, None)


def test_the_window_forgets_slot_by_slot(traffic: Traffic, make_records: MakeRecords) -> None:
    for now_s, count in [(10.0, 1), (11.2, 2), (14.9, 4)]:
        traffic.add(make_records(*[{}] * count), now_s)
    counts = [traffic.window(now_s)[0].requests for now_s in (14.9, 15.0, 16.1, 19.4, 19.5, 500.0)]
    assert counts == [7, 6, 4, 4, 0, 0]
    traffic.add(make_records({"total_s": 3.0}), 501.0)
    window = traffic.window(501.0)[0]
    assert window.requests == 1
    assert window.p50_s == pytest.approx(3.0, rel=0.026)


@pytest.mark.parametrize("latency_s", [0.0, 1e-9, 1e9, math.inf])
def test_latencies_beyond_the_scale_count_at_its_ends(
    traffic: Traffic, make_records: MakeRecords, latency_s: float
) -> None:
    traffic.add(make_records({"total_s": latency_s}), 1.0)
    p50_s = traffic.window(1.0)[0].p50_s
    assert p50_s is not None
    assert p50_s < 2e-4 if latency_s < 1 else p50_s > 100


def test_adding_nothing_changes_nothing(traffic: Traffic, make_records: MakeRecords) -> None:
    traffic.add(make_records(), 1.0)
    assert not list(traffic.requests)


def total(traffic: Traffic) -> int:
    return sum(each.requests for each in traffic.requests)


@pytest.mark.parametrize("wrong", [{"outcome": len(Outcome)}, {"outcome": 255}, {"request_class": 2}])
def test_a_record_that_cannot_be_is_counted_apart(
    traffic: Traffic, make_records: MakeRecords, wrong: dict[str, int]
) -> None:
    traffic.add(make_records({}, wrong, {}), 1.0)
    assert traffic.invalid == 1
    assert total(traffic) == traffic.outcomes.sum() == traffic.total_s.counts.sum() == 2
    traffic.add_outcomes(make_records({}, wrong))
    assert (traffic.invalid, traffic.outcomes.sum()) == (2, 3)


def test_a_backend_that_is_new_begins_at_zero(traffic: Traffic, make_records: MakeRecords) -> None:
    traffic.add(make_records({"backend": 0}, {"backend": 1}, {"backend": NO_BACKEND}), 1.0)
    traffic.forget(0)
    assert traffic.by_backend().tolist() == [0, 1, 0]
    assert total(traffic) == 2
    traffic.add(make_records({"backend": 0}), 1.0)
    assert traffic.by_backend().tolist() == [1, 1, 0]


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, NO_BACKEND]),
        st.sampled_from([0, 1, NO_ROUTE]),
        st.integers(0, 1),
        st.integers(0, 65535),
        st.sampled_from(list(Outcome)),
        st.floats(0, 1e4, width=32),
        st.one_of(st.just(math.nan), st.floats(0, 1e4, width=32)),
    ),
    max_size=40,
)


def built(rows: list[tuple[Any, ...]]) -> Records:
    records = np.zeros(len(rows), dtype=RECORD)
    fields = ("backend", "route", "request_class", "status", "outcome", "total_s", "first_byte_s")
    for at, row in enumerate(rows):
        for name, value in zip(fields, row, strict=True):
            records[name][at] = value
    return records


NUMBERING = Numbering(
    Config.model_validate(
        {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "pools": {"p": {"backends": ["127.0.0.1:1", "127.0.0.1:2"]}, "q": {"backends": ["127.0.0.1:3"]}},
            "routes": [{"name": "p", "pool": "p"}, {"name": "q", "pool": "q"}],
            "request_classes": [{"name": "c", "match": {}}],
            "workers": 1,
        }
    )
)


@given(batches=st.lists(ROWS, max_size=4))
def test_the_counters_sum_to_the_number_of_records(batches: list[list[tuple[Any, ...]]]) -> None:
    traffic = Traffic(NUMBERING)
    for rows in batches:
        traffic.add(built(rows), now_s=1.0)
    rows = [row for batch in batches for row in batch]
    reached = [row for row in rows if row[0] != NO_BACKEND]
    assert total(traffic) == traffic.outcomes.sum() == len(rows)
    assert traffic.by_backend().sum() == traffic.total_s.counts.sum() == len(reached)
    assert traffic.first_byte_s.counts.sum() == sum(not math.isnan(row[-1]) for row in reached)
    window = traffic.window(1.0)
    assert sum(backend.requests for backend in window) == len(reached)
    assert sum(backend.failures for backend in window) == traffic.failures.sum()
    for members in NUMBERING.pools.values():
        share = sum(window[index].share for index in members)
        assert share == pytest.approx(1.0) or share == 0.0


def test_counting_goes_on_under_other_numbers(config: Config, numbering: Numbering, make_records: MakeRecords) -> None:
    other = config.model_copy(
        update={
            "pools": dict(reversed(config.pools.items())),
            "routes": config.routes[::-1],
            "request_classes": [],
        }
    )
    after = Numbering(other)
    earlier, later = Traffic(numbering), Traffic(after)
    rows = [
        {"backend": 0, "route": 0, "total_s": 0.1, "request_bytes": 3},
        {"backend": 0, "route": 0, "request_class": 1, "total_s": 0.1},
        {"backend": 1, "route": 1, "outcome": Outcome.RESET, "status": 502},
        {"backend": NO_BACKEND, "route": NO_ROUTE, "outcome": Outcome.NO_ROUTE, "status": 404},
    ]
    earlier.add(make_records(*rows), 100.0)
    later.take_over(earlier, Renumbering(numbering, after))
    # The backends of api, of which there is one, now come first, and the routes have changed places.
    assert later.by_backend().tolist() == [0, 2, 1]
    assert total(later) == len(rows)
    found = [(each.route, each.backend, each.requests) for each in later.requests]
    assert found == [(0, 2, 1), (1, 1, 2), (2, 3, 1)]
    assert later.failures.tolist() == [0, 0, 1]
    assert later.request_bytes.tolist() == [0, 3, 0, 0]
    assert later.outcomes.tolist() == earlier.outcomes.tolist()
    assert later.total_s.counts.sum(axis=(1, 2)).tolist() == [0, 1, 1], "a class that is gone takes its counts along"
    assert [window.requests for window in later.window(100.0)] == [0, 2, 1]
    later.add(make_records({"backend": 1, "route": 1}), 100.0)
    assert total(earlier) == len(rows)
