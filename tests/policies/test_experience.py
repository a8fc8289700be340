"""What the learned policy makes of the latest answers."""

from typing import Any

import pytest

from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, members, options_of, pool_view

POLICY = POLICIES["learned"]


def nothing_noticed(pool: PoolView) -> Any:
    return POLICY.remember(members(pool.weight), options_of("learned"))


def pick(pool: PoolView, memory: Any, now_s: float = 0.0) -> int:
    return POLICY.pick(pool, memory, 0, 0, now_s, (BELOW_ONE, 0.0))


def used(pool: PoolView, memory: Any) -> None:
    """Send a request to every backend, so that something is expected of each."""
    for at in range(len(pool.weight)):
        alone = pool_view([0] * len(pool.weight), barred=set(range(len(pool.weight))) - {at})._replace(
            base_s=pool.base_s, slope_s=pool.slope_s
        )
        assert pick(alone, memory) == at


def answers(pool: PoolView, memory: Any, latency_s: dict[int, float], count: int = 60, now_s: float = 0.0) -> None:
    """Each backend answers in 20 ms, but for some."""
    assert POLICY.observe is not None
    for _ in range(count):
        for at in range(len(pool.weight)):
            POLICY.observe(memory, at, now_s, latency_s.get(at, 0.020), False)


@pytest.mark.parametrize("size", [4, 36])
def test_a_backend_clearly_slower_than_learned_is_dearer_until_that_is_old(size: int) -> None:
    pool = pool_view([0] * size, base_s=[[0.020 if at else 0.015 for at in range(size)]], slope_s=[[0.0] * size])
    memory = nothing_noticed(pool)
    used(pool, memory)
    assert pick(pool, memory) == 0
    answers(pool, memory, {0: 0.060})
    assert pick(pool, memory) != 0
    assert pick(pool, memory, now_s=60.0) == 0


@pytest.mark.parametrize("size", [4, 36])
def test_one_clearly_faster_than_learned_is_cheaper(size: int) -> None:
    pool = pool_view([0] * size, base_s=[[0.020 if at != 2 else 0.030 for at in range(size)]], slope_s=[[0.0] * size])
    memory = nothing_noticed(pool)
    used(pool, memory)
    assert pick(pool, memory) != 2
    answers(pool, memory, {2: 0.008})
    assert pick(pool, memory) == 2


def test_a_small_difference_counts_nothing() -> None:
    pool = pool_view([0] * 4, base_s=[[0.020, 0.0201, 0.0201, 0.0201]], slope_s=[[0.0] * 4])
    memory = nothing_noticed(pool)
    used(pool, memory)
    answers(pool, memory, {0: 0.027})
    assert pick(pool, memory) == 0


def test_all_being_slower_than_expected_is_no_difference() -> None:
    pool = pool_view([0] * 4, base_s=[[0.020, 0.0201, 0.0201, 0.0201]], slope_s=[[0.0] * 4])
    memory = nothing_noticed(pool)
    used(pool, memory)
    answers(pool, memory, dict.fromkeys(range(4), 0.2))
    assert pick(pool, memory) == 0


@pytest.mark.parametrize("latency_s", [0.0, 1e9, float("inf")])
def test_absurd_latencies_leave_costs_finite(latency_s: float) -> None:
    pool = pool_view([0] * 4)
    memory = nothing_noticed(pool)
    used(pool, memory)
    answers(pool, memory, {0: latency_s})
    assert pick(pool, memory) in range(4)
    assert all(0.0 <= value < 1e6 for value in [*memory.slowness, *memory.factor, *memory.usual])
