"""Slow start: the share of a backend that begins, for each policy."""

from random import Random

import pytest

from smartlb.upstream.slow_start import SlowStart


def share(slow_start: SlowStart, now_s: float, wanted: float, eligible: int = 4, requests: int = 20_000) -> float:
    """The share of requests that backend 0 gets at `now_s` from a policy that wants to send it `wanted`."""
    random = Random(1)
    got = 0
    for _ in range(requests):
        slow_start.earn(range(eligible), now_s)
        got += random.random() < wanted and slow_start.spend(0)
    return got / requests


@pytest.mark.parametrize("wanted", [0.26, 1.0])
@pytest.mark.parametrize(
    ("now_s", "expected"), [(0.0, 0.1), (0.5, 0.1), (2.5, 0.25), (5.0, 0.5), (7.5, 0.75), (9.5, 0.95)]
)
def test_the_weight_grows_from_a_tenth_whether_or_not_the_policy_wants_more(
    wanted: float, now_s: float, expected: float
) -> None:
    slow_start = SlowStart(10.0, [1.0] * 4)
    slow_start.begin([0], 0.0)
    assert share(slow_start, now_s, wanted) == pytest.approx(expected / (3 + expected), rel=0.1)


def test_a_policy_that_wants_less_is_not_held_back_much() -> None:
    slow_start = SlowStart(10.0, [1.0] * 4)
    slow_start.begin([0], 0.0)
    assert share(slow_start, 5.0, 0.05) == pytest.approx(0.05, rel=0.1)


def test_shares_go_by_weight() -> None:
    slow_start = SlowStart(10.0, [3.0, 1.0])
    slow_start.begin([0], 0.0)
    assert share(slow_start, 5.0, 1.0, eligible=2) == pytest.approx(1.5 / 2.5, rel=0.01)


def test_it_ends() -> None:
    slow_start = SlowStart(10.0, [1.0, 1.0])
    assert not slow_start
    slow_start.begin([0, 1], 5.0)
    slow_start.earn([0, 1], 14.9)
    assert slow_start
    assert not slow_start.spend(0)
    slow_start.earn([0, 1], 15.0)
    assert not slow_start
    assert slow_start.spend(0)


def test_without_a_duration_nothing_starts_slowly() -> None:
    slow_start = SlowStart(0.0, [1.0])
    slow_start.begin([0], 0.0)
    assert not slow_start
    assert slow_start.spend(0)


def test_where_all_start_they_share_what_comes() -> None:
    slow_start = SlowStart(10.0, [1.0, 1.0, 2.0])
    slow_start.begin([0, 1, 2], 0.0)
    got = [0, 0, 0]
    for _ in range(400):
        slow_start.earn(range(3), 0.0)
        # A policy that always wants the last, then the next before it.
        position = next(each for each in (2, 1, 0) if slow_start.spend(each, regardless=each == 0))
        got[position] += 1
    assert got == pytest.approx([100, 100, 200], abs=10)


def test_what_was_not_used_is_saved_only_so_far() -> None:
    slow_start = SlowStart(10.0, [1.0, 1.0])
    slow_start.begin([0], 0.0)
    for _ in range(1000):
        slow_start.earn([0, 1], 9.0)
    spent = 0
    while slow_start.spend(0):
        spent += 1
    assert spent == 8
