from math import inf, log

import pytest

from smartlb.learning.drift import LEAST_REQUESTS, WIDEST, LatencyWatch, error_surprise, latency_surprise


def test_latency_surprise_in_worked_numbers() -> None:
    assert latency_surprise(2.0, 2.0, 9.0) == 0.0
    assert latency_surprise(3.0, 2.0, 1.0) == pytest.approx(log(1.5))
    assert latency_surprise(2.0, 3.0, 4.0) == pytest.approx(-2.0 * log(1.5))


def test_many_requests_sharpen_it_only_so_far() -> None:
    assert latency_surprise(3.0, 2.0, 1e6) == latency_surprise(3.0, 2.0, 4.0)


def test_error_surprise_in_worked_numbers() -> None:
    assert error_surprise(0.0, 0.0, 0.0) == 0.0
    assert error_surprise(3.0, 1.0, 0.9) == pytest.approx(2.0)
    assert error_surprise(0.0, 1.0, 0.15) == pytest.approx(-2.0)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_surprises_are_cut(sign: float) -> None:
    assert latency_surprise(10.0 ** (6 * sign), 1.0, 4.0) == sign * WIDEST
    assert error_surprise(50.0 * sign, 0.0, 0.0) == sign * WIDEST


@pytest.mark.parametrize(("actual", "predicted"), [(0.0, 1.0), (1.0, 0.0)])
def test_latencies_of_zero_are_no_surprise(actual: float, predicted: float) -> None:
    assert latency_surprise(actual, predicted, 4.0) == 0.0


def test_a_watch_waits_for_its_span() -> None:
    watch = LatencyWatch()
    assert watch.add(3.0, 3.0, 3.0, 0.0, 1.0) == 0.0
    assert watch.add(12.0, 3.0, 3.0, 0.4, 1.0) is None
    assert watch.add(0.0, 9.0, 3.0, 0.8, 1.0) is None
    assert watch.add(0.0, 0.0, 0.0, 1.2, 1.0) == 0.0, "12 s taken, 12 s predicted"
    assert watch.add(0.0, 0.0, 0.0, inf, 1.0) is None, "nothing to be surprised by"


def test_a_watch_waits_for_enough_requests() -> None:
    watch = LatencyWatch()
    for time_s in range(int(LEAST_REQUESTS) - 1):
        assert watch.add(1.0, 1.0, 1.0, time_s, 0.5) is None
    assert watch.add(1.0, 1.0, 1.0, 10.0, 0.5) == 0.0
