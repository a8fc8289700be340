"""Backends that are compared with their pool: who stands out, and who does not."""

from typing import Any

import numpy as np
import pytest

from smartlb.config.model import Ejection, LatencyOutliers, SuccessRate
from smartlb.control.ejection import Ejected, Ejector
from smartlb.core.record import RECORD, Records


def traffic(at_s: float, *backends: tuple[int, float, float], first: int = 0) -> Records:
    """For each backend how many requests it had, what share of them failed, and their latency."""
    rows = []
    for index, (requests, failed, latency_s) in enumerate(backends, first):
        for number in range(requests):
            # Spread, so that there are never many failures in a row.
            failure = int((number + 1) * failed) > int(number * failed)
            rows.append((at_s, 0.0, latency_s, latency_s, 0, 0, 0, index, 0, 0, 503 if failure else 200, 0, 1))
    return np.array(rows, dtype=RECORD)


def ejector(backends: int, **settings: Any) -> Ejector:
    base = {"consecutive_failures": 1_000, "max_ejected_share": 0.5}
    subject = Ejector([(range(backends), Ejection.model_validate({**base, **settings}))])
    assert subject.observe(traffic(0.0), 0.0) == []
    return subject


def intervals(subject: Ejector, *rounds: list[tuple[int, float, float]], from_s: float = 0.0) -> list[Ejected]:
    """What is ejected at the end of the last of some intervals of ten seconds."""
    ejected: list[Ejected] = []
    for number, backends in enumerate(rounds):
        assert ejected == []
        start_s = from_s + 10.0 * number
        assert subject.observe(traffic(start_s, *backends), start_s + 5.0) == []
        ejected = subject.observe(traffic(start_s), start_s + 10.0)
    return ejected


GOOD = (200, 0.0, 0.1)


def test_a_backend_that_succeeds_far_less_often_is_ejected() -> None:
    subject = ejector(6, success_rate=SuccessRate())
    (ejected,) = intervals(subject, [GOOD] * 5 + [(200, 0.3, 0.1)])
    assert (ejected.index, ejected.for_s) == (5, 5.0)
    assert ejected.reason == "70.0% of 200 requests succeeded, less than 73.8%, left out for 5 s"
    assert subject.ejected(5)


@pytest.mark.parametrize(
    "backends",
    [
        [GOOD] * 3 + [(200, 0.5, 0.1)],  # four, of which one should not be told
        [GOOD] * 4 + [(99, 0.5, 0.1)],  # too few requests to count
        [(200, 0.5, 0.1)] * 6,  # all alike
        [(200, 0.1, 0.1), (200, 0.2, 0.1)] * 3,  # nobody alone
        [GOOD] * 6,
        [(0, 0.0, 0.0)] * 6,
    ],
)
def test_who_is_not_ejected_by_success_rate(backends: list[tuple[int, float, float]]) -> None:
    assert intervals(ejector(len(backends), success_rate=SuccessRate()), backends, backends) == []


def test_each_interval_counts_for_itself() -> None:
    half = [(60, 0.0, 0.1)] * 5 + [(60, 0.5, 0.1)]
    assert intervals(ejector(6, success_rate=SuccessRate()), half, half) == []


def test_a_backend_that_is_slow_for_long_enough_is_ejected() -> None:
    slow = [GOOD] * 3 + [(50, 0.0, 0.31)]
    subject = ejector(4, latency=LatencyOutliers())
    (ejected,) = intervals(subject, slow, slow, slow)
    assert ejected.index == 3
    assert ejected.reason == "median latency 310 ms, in the pool 100 ms, for 3 intervals in a row, left out for 5 s"


@pytest.mark.parametrize(
    "backends",
    [
        [GOOD] * 3 + [(50, 0.0, 0.29)],  # not slow enough
        [GOOD] * 3 + [(19, 0.0, 9.0)],  # too few requests
        [GOOD, (50, 0.0, 9.0)],  # too few backends
        [(50, 0.0, 9.0)] * 4,  # all alike
        [GOOD] * 3 + [(50, 1.0, 9.0)],  # failures are no matter of latency
    ],
)
def test_who_is_not_ejected_by_latency(backends: list[tuple[int, float, float]]) -> None:
    assert intervals(ejector(len(backends), latency=LatencyOutliers()), *[backends] * 6) == []


def test_an_interval_that_is_not_slow_begins_the_count_anew() -> None:
    slow = [GOOD] * 3 + [(50, 0.0, 1.0)]
    assert intervals(ejector(4, latency=LatencyOutliers()), slow, slow, [GOOD] * 4, slow, slow) == []


def test_the_worst_go_first_where_there_is_not_room_for_all() -> None:
    slow = [GOOD] * 3 + [(50, 0.0, 0.4), (50, 0.0, 0.9)]
    subject = ejector(5, latency=LatencyOutliers(intervals=1), max_ejected_share=0.2)
    assert [ejected.index for ejected in intervals(subject, slow)] == [4]


def test_what_was_sent_before_the_end_of_an_ejection_does_not_count() -> None:
    slow = [GOOD] * 3 + [(50, 0.0, 1.0)]
    subject = ejector(4, latency=LatencyOutliers(intervals=1))
    assert [ejected.index for ejected in intervals(subject, slow)] == [3]
    assert subject.release(15.0) == [3]
    late = traffic(14.0, *slow)
    assert subject.observe(late, 16.0) == []
    assert subject.observe(traffic(16.0), 20.0) == []
    assert len(intervals(subject, slow, from_s=20.0)) == 1


def test_pools_are_compared_each_by_itself() -> None:
    compared = Ejection(latency=LatencyOutliers(intervals=1))
    subject = Ejector([(range(3), compared), (range(3, 6), None), (range(6, 9), compared)])
    subject.observe(traffic(0.0), 0.0)
    slow = [GOOD, GOOD, (50, 0.0, 9.0)]
    subject.observe(traffic(1.0, *slow * 3), 5.0)
    assert [ejected.index for ejected in subject.observe(traffic(1.0), 10.0)] == [2, 8]
