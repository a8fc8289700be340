"""What policies that look at every backend have in common: `smartlb/policies/scan.pxd`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, memory_of, pool_view

SCORES: dict[str, Any] = {
    "least_connections": lambda in_flight, _weight: in_flight,
    "weighted_least_connections": lambda in_flight, weight: (in_flight + 1.0) / weight,
    "least_time": lambda in_flight, weight: 20.0 * (in_flight + 1.0) / weight,
}


def lowest(pool: PoolView, score: Any, draw: float) -> int:
    """The same in other words: of those with the lowest score, the first from the start on, going round."""
    start = int(draw * len(pool.eligible))
    turned: Sequence[int] = [*pool.eligible[start:], *pool.eligible[:start]]
    return min(turned, key=lambda at: score(pool.in_flight[at], pool.weight[at]))


def scan(name: str, pool: PoolView, draw: float) -> int:
    return POLICIES[name].pick(pool, memory_of(name, pool.weight), 0, 0, 0.0, (draw,))


@pytest.mark.parametrize("name", SCORES)
def test_the_lowest_score_is_found(name: str) -> None:
    @settings(deadline=None, derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 40))
        pool = pool_view(
            data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)),
            weight=data.draw(st.lists(st.floats(0.001, 256.0), min_size=size, max_size=size)),
            barred=data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1)),
        )
        draw = data.draw(st.floats(0.0, 1.0, exclude_max=True))
        assert scan(name, pool, draw) == lowest(pool, SCORES[name], draw)

    check()


@pytest.mark.parametrize("name", SCORES)
def test_equals_share_by_random_start(name: str) -> None:
    pool = pool_view([1] * 5)
    assert Counter(scan(name, pool, (turn + 0.5) / 5) for turn in range(5)) == dict.fromkeys(range(5), 1)
    assert scan(name, pool, BELOW_ONE) == 4
