from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.policies import least_connections, least_time, weighted_least_connections
from smartlb.policies.scan import VECTOR_FROM, lowest, lowest_by_loop, lowest_by_numpy
from tests.policies.pools import BELOW_ONE, pool_view

SCORES = {module.POLICY.name: module.score for module in (least_connections, weighted_least_connections, least_time)}


def floats(size: int, low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=size, max_size=size)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES.keys())
def test_loop_and_numpy_agree(score: Any) -> None:
    @settings(deadline=None, derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 2 * VECTOR_FROM))
        pool = pool_view(
            data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)),
            weight=data.draw(floats(size, 0.001, 256.0)),
            barred=data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1)),
        )
        draw = data.draw(st.floats(0.0, 1.0, exclude_max=True))
        cost = pool_view([0] * size, weight=data.draw(floats(size, 20.0, 5000.0))).weight
        assert lowest_by_loop(pool, score, cost, draw) == lowest_by_numpy(pool, score, cost, draw)

    check()


@pytest.mark.parametrize("size", [5, VECTOR_FROM])
def test_equals_share_by_random_start(size: int) -> None:
    pool = pool_view([1] * size)
    picks = Counter(lowest(pool, least_connections.score, pool.weight, (turn + 0.5) / size) for turn in range(size))
    assert picks == dict.fromkeys(range(size), 1)


@pytest.mark.parametrize("size", [5, VECTOR_FROM])
@pytest.mark.parametrize("draw", [0.0, 0.5, BELOW_ONE])
def test_the_lowest_is_found_from_any_start(size: int, draw: float) -> None:
    for least in range(size):
        pool = pool_view([0 if at == least else 2 for at in range(size)])
        assert lowest(pool, least_connections.score, pool.weight, draw) == least


@pytest.mark.parametrize("find", [lowest_by_loop, lowest_by_numpy])
def test_barred_backends_are_passed_over(find: Any) -> None:
    pool = pool_view([0, 5, 0, 4, 0], barred={0, 2, 4})
    assert find(pool, least_connections.score, pool.weight, 0.0) == 3
