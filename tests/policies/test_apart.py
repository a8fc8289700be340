"""The learned policy of a router that sees few of the requests in flight."""

from collections import Counter
from random import Random
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, members, options_of, pool_view

POLICY = POLICIES["learned"]


def apart(pool: PoolView) -> PoolView:
    return pool._replace(sight=0.05)


def nothing_noticed(pool: PoolView) -> Any:
    return POLICY.remember(members(pool.weight), options_of("learned"))


def picks(
    pool: PoolView, memory: Any, count: int, now_s: float = 0.0, seed: int = 0, apart_s: float = 0.03
) -> Counter[int]:
    draw = Random(seed).random
    return Counter(POLICY.pick(pool, memory, 0, 0, now_s + at * apart_s, (BELOW_ONE, draw())) for at in range(count))


def answer(memory: Any, backend: int, latency_s: float, count: int = 20, now_s: float = 0.0) -> None:
    assert POLICY.observe is not None
    for _ in range(count):
        POLICY.observe(memory, backend, now_s, latency_s, False)


def test_requests_are_divided_by_weight_whatever_they_cost() -> None:
    pool = apart(pool_view([0] * 3, learned=[[0.6, 0.3, 0.1]], base_s=[[0.03, 0.02, 0.01]]))
    shares = Counter[int]()
    for router in range(40):
        shares += picks(pool, nothing_noticed(pool), 1500, seed=router)
    assert shares[0] > shares[1] > shares[2] > 0


def test_each_router_returns_to_the_same_backends_for_a_while_and_not_for_ever() -> None:
    pool = apart(pool_view([0] * 8))
    assert len(picks(pool, nothing_noticed(pool), 20)) <= 2
    assert len({max(picks(pool, nothing_noticed(pool), 20, seed=router)) for router in range(20)}) > 4
    assert set(picks(pool, nothing_noticed(pool), 2000)) == set(range(8))


def test_what_is_in_flight_counts_by_weight() -> None:
    busy = apart(pool_view([3, 1, 1], learned=[[0.8, 0.1, 0.1]]))
    assert set(picks(busy, nothing_noticed(busy), 2000)) == {0}
    busier = apart(pool_view([20, 1, 1], learned=[[0.8, 0.1, 0.1]]))
    assert set(picks(busier, nothing_noticed(busier), 2000)) == {1, 2}


def test_a_backend_whose_answers_take_longer_than_those_of_others_is_avoided_until_that_is_old() -> None:
    pool = apart(pool_view([0] * 3, base_s=[[0.02] * 3]))
    memory = nothing_noticed(pool)
    assert set(picks(pool, memory, 2000)) == {0, 1, 2}
    for backend, latency_s in ((0, 0.02), (1, 2.0), (2, 0.02)):
        answer(memory, backend, latency_s)
    assert set(picks(pool, memory, 2000, apart_s=0.0)) <= {0, 2}
    assert set(picks(pool, memory, 2000, now_s=10.0)) == {0, 1, 2}


def test_failures_in_a_row_make_a_backend_the_last_choice() -> None:
    pool = apart(pool_view([1, 1]))
    memory = nothing_noticed(pool)
    assert POLICY.observe is not None
    for _ in range(5):
        POLICY.observe(memory, 0, 0.0, 0.01, True)
    assert set(picks(pool, memory, 1000)) == {1}


def test_what_is_barred_gets_nothing() -> None:
    pool = apart(pool_view([0, 5, 0], barred={0, 2}, learned=[[0.5, 0.0, 0.5]]))
    assert set(picks(pool, nothing_noticed(pool), 1000)) == {1}
