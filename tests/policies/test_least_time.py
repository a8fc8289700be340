from collections.abc import Sequence
from typing import Any

import pytest

from smartlb.policies.registry import POLICIES
from tests.policies.pools import memory_of, pool_view

pick, observe = POLICIES["least_time"].pick, POLICIES["least_time"].program.observe  # type: ignore[union-attr]


def memory(backends: int = 3, **options: Any) -> Any:
    return memory_of("least_time", [1.0] * backends, **options)


def observed(latencies_s: Sequence[float], now_s: float = 5.0) -> Any:
    """A memory with one latency of each backend."""
    seen = memory(len(latencies_s))
    for backend, latency_s in enumerate(latencies_s):
        observe(seen, backend, now_s, latency_s, False)
    return seen


def test_the_average_takes_a_twentieth_of_a_new_sample() -> None:
    seen = memory()
    for latency_s, average_ms in ((0.100, 100), (0.200, 105), (0.0, 100), (1.0, 145), (1.0, 188)):
        observe(seen, 0, 5.0, latency_s, False)
        assert seen.average_ms[0] == average_ms


@pytest.mark.parametrize(
    ("latency_s", "rounded_ms"),
    [
        (0.0, 20),
        (0.019, 20),
        (0.020, 40),
        (0.100, 120),
        (4.999, 5000),
        (5.000, 5020),
        (5.001, 5000),
        (60.0, 5000),
    ],
)
def test_times_are_rounded_up_to_20_ms_and_capped(latency_s: float, rounded_ms: int) -> None:
    assert observed([latency_s]).rounded_ms[0] == rounded_ms


def test_the_least_time_by_requests_in_flight_and_weight_wins() -> None:
    seen = observed([0.030, 0.070, 0.110])
    # 40 × 6, 80 × 2, 120 × 1.
    assert pick(pool_view([5, 1, 0]), seen, 0, 0, 5.0, (0.0,)) == 2
    # 40 × 6 / 4, 80 × 2 / 2, 120 × 1 / 1.
    assert pick(pool_view([5, 1, 0], weight=[4.0, 2.0, 1.0]), seen, 0, 0, 5.0, (0.0,)) == 0


def test_backends_about_as_fast_share_by_random_start() -> None:
    seen = observed([0.041, 0.058, 0.049])
    assert [pick(pool_view([0, 0, 0]), seen, 0, 0, 5.0, (draw,)) for draw in (0.0, 0.4, 0.8)] == [0, 1, 2]


def test_backends_without_history_are_tried_first() -> None:
    seen = observed([0.5, 0.0, 0.5])
    assert pick(pool_view([0, 0, 0]), seen, 0, 0, 5.0, (0.0,)) == 1


def test_a_failure_is_not_averaged() -> None:
    seen = observed([0.3])
    observe(seen, 0, 6.0, 0.001, True)
    assert seen.average_ms[0] == 300


def rounded_at(seen: Any, now_s: float) -> int:
    """What the second of two backends counts as; the other is always the better one."""
    pick(pool_view([0, 5000], barred={1}), seen, 0, 0, now_s, (0.0,))
    return int(seen.rounded_ms[1])


def test_an_idle_backends_time_is_halved_again_and_again() -> None:
    seen = observed([0.0, 0.400])
    ages = (10.9, 11.0, 21.9, 22.0, 33.0, 55.0, 1e6)
    assert [rounded_at(seen, now_s) for now_s in ages] == [420, 220, 220, 120, 60, 20, 20]
    assert seen.average_ms[1] == 400


def test_being_picked_ends_the_forgiveness() -> None:
    seen = observed([0.0, 0.400])
    assert rounded_at(seen, 22.0) == 120
    assert pick(pool_view([0, 0], barred={0}), seen, 0, 0, 22.5, (0.0,)) == 1
    assert seen.rounded_ms[1] == 420
    assert rounded_at(seen, 32.0) == 420
    assert rounded_at(seen, 33.0) == 220


def test_a_failure_puts_off_the_forgiveness() -> None:
    seen = observed([0.0, 0.400])
    assert rounded_at(seen, 11.0) == 220
    observe(seen, 1, 11.5, 0.0, True)
    assert seen.rounded_ms[1] == 420
    assert rounded_at(seen, 21.0) == 420


def test_idle_s_says_when_forgiveness_begins() -> None:
    seen = memory(2, idle_s=2)
    observe(seen, 1, 0.0, 0.400, False)
    assert [rounded_at(seen, now_s) for now_s in (2.9, 3.0, 6.0)] == [420, 220, 120]


@pytest.mark.parametrize("idle_s", [0, -1, 3601, 1.5])
def test_an_idle_time_out_of_range_is_refused(idle_s: float) -> None:
    with pytest.raises(ValueError, match="idle_s"):
        memory(idle_s=idle_s)
