from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, members, options_of, pool_view

POLICY = POLICIES["learned"]
GRID = [(turn + 0.5) / 1000 for turn in range(1000)]


EXPLOITS = BELOW_ONE


def none_failed(pool: PoolView, candidates: int = 0) -> Any:
    return POLICY.remember(members(pool.weight), options_of("learned", candidates=candidates))


def pick(pool: PoolView, draws: Sequence[float], request_class: int = 0) -> int:
    """A pick among as many drawn candidates as there are draws."""
    return POLICY.pick(pool, none_failed(pool, len(draws)), request_class, 0, 0.0, (EXPLOITS, *draws))


def scan(pool: PoolView, explore: float = EXPLOITS, start: float = 0.0) -> int:
    """A pick by the defaults."""
    return POLICY.pick(pool, none_failed(pool), 0, 0, 0.0, (explore, start))


def test_a_candidate_is_drawn_by_learned_weight() -> None:
    pool = pool_view([0, 0, 0], learned=[[0.5, 0.3, 0.2]])
    assert Counter(pick(pool, (draw,)) for draw in GRID) == {0: 500, 1: 300, 2: 200}


def test_weights_need_not_add_up_to_one() -> None:
    pool = pool_view([0, 0, 0], learned=[[5e-9, 3e-9, 2e-9]])
    assert Counter(pick(pool, (draw,)) for draw in GRID) == {0: 500, 1: 300, 2: 200}


def test_every_class_has_its_own_rows() -> None:
    pool = pool_view(
        [0, 0],
        learned=[[0.9, 0.1], [0.2, 0.8]],
        base_s=[[0.01, 0.02], [0.09, 0.03]],
        slope_s=[[0.0, 0.0], [0.0, 0.0]],
    )
    for request_class, share in ((0, 900), (1, 200)):
        assert Counter(pick(pool, (draw,), request_class) for draw in GRID)[0] == share
    # Both are drawn; the class's own cost decides.
    assert [pick(pool, (0.05, 0.95), request_class) for request_class in (0, 1)] == [0, 1]


@pytest.mark.parametrize("barred", [{0}, {1}, {3}, {0, 3}, {0, 1, 2}, {1, 2, 3}])
def test_a_barred_backend_is_never_drawn(barred: set[int]) -> None:
    pool = pool_view([0] * 4, barred=barred, learned=[[0.4, 0.3, 0.2, 0.1]])
    picks = Counter(pick(pool, (draw,)) for draw in (0.0, *GRID, BELOW_ONE))
    assert set(picks) == set(range(4)) - barred


@pytest.mark.parametrize("weight", [0.0, 5e-324])
@pytest.mark.parametrize("barred", [0, 3])
def test_a_row_of_next_to_no_weight_still_gives_an_eligible_backend(weight: float, barred: int) -> None:
    pool = pool_view([0] * 4, barred={barred}, learned=[[weight] * 4])
    assert barred not in {pick(pool, (draw, draw)) for draw in (0.0, *GRID, BELOW_ONE)}


def test_the_candidate_with_the_lower_cost_at_its_load_wins() -> None:
    pool = pool_view([0, 4, 1], learned=[[1.0, 1.0, 1.0]], base_s=[[0.050, 0.010, 0.030]], slope_s=[[0.0, 0.012, 0.01]])
    # Costs 0.050, 0.058, 0.040.
    assert pick(pool, (0.1, 0.5)) == 0
    assert pick(pool, (0.1, 0.9)) == 2
    assert pick(pool, (0.5, 0.1, 0.9)) == 2


def test_the_first_drawn_wins_ties() -> None:
    pool = pool_view([0, 0, 0])
    assert [pick(pool, draws) for draws in ((0.1, 0.9), (0.9, 0.1))] == [0, 2]


def test_candidates_are_drawn_beside_what_says_whether_to_explore() -> None:
    assert POLICY.draws(options_of("learned")) == 2
    assert POLICY.draws(options_of("learned", candidates=1)) == 2
    assert POLICY.draws(options_of("learned", candidates=5)) == 6


@pytest.mark.parametrize("candidates", [-1, 9, 1.5])
def test_a_number_of_candidates_out_of_range_is_refused(candidates: float) -> None:
    with pytest.raises(ValueError, match="candidates"):
        options_of("learned", candidates=candidates)


@pytest.mark.parametrize("size", [3, 35])
def test_the_cheapest_of_all_wins_by_default_whatever_its_weight(size: int) -> None:
    cheap = size - 2
    base_s = [[0.010 if at == cheap else 0.030 for at in range(size)]]
    slope_s = [[0.005] * size]
    pool = pool_view(
        [0] * size, learned=[[0.0 if at == cheap else 1.0 for at in range(size)]], base_s=base_s, slope_s=slope_s
    )
    assert {scan(pool, start=start) for start in GRID[::50]} == {cheap}
    busy = pool._replace(in_flight=pool_view([5 if at == cheap else 0 for at in range(size)]).in_flight)
    assert cheap not in {scan(busy, start=start) for start in GRID[::50]}


@pytest.mark.parametrize("size", [4, 36])
def test_equals_share_the_traffic_and_barred_ones_get_none(size: int) -> None:
    pool = pool_view([0] * size, barred={1})
    assert {scan(pool, start=start) for start in (0.0, *GRID, BELOW_ONE)} == set(range(size)) - {1}


@pytest.mark.parametrize("size", [4, 36])
def test_some_requests_explore_whatever_it_costs(size: int) -> None:
    explore = [[0.04 if at == 2 else 0.01 if at == 3 else 0.0 for at in range(size)]]
    pool = pool_view([0, 0, 99, 99, *[0] * (size - 4)], explore=explore)
    picks = Counter(scan(pool, explore=draw) for draw in GRID)
    assert (picks[2], picks[3]) == (40, 10)


@pytest.mark.parametrize("size", [3, 35])
def test_failures_in_a_row_make_a_backend_dearer_until_one_succeeds(size: int) -> None:
    base_s = [[0.010 if at == 1 else 0.025 for at in range(size)]]
    pool = pool_view([0] * size, base_s=base_s)
    memory = none_failed(pool)
    assert POLICY.observe is not None

    def picked() -> int:
        return POLICY.pick(pool, memory, 0, 0, 0.0, (EXPLOITS, 0.0))

    assert picked() == 1
    POLICY.observe(memory, 1, 0.0, 0.001, True)
    assert picked() == 1, "one failure in a row doubles the cost, which is still the least"
    POLICY.observe(memory, 1, 0.0, 0.001, True)
    assert picked() != 1
    POLICY.observe(memory, 1, 0.0, 0.010, False)
    assert picked() == 1
