from collections import Counter
from collections.abc import Sequence

import pytest

from smartlb.core.pool import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, options_of, pool_view

POLICY = POLICIES["learned"]
GRID = [(turn + 0.5) / 1000 for turn in range(1000)]


def pick(pool: PoolView, draws: Sequence[float], request_class: int = 0) -> int:
    return POLICY.pick(pool, (), request_class, 0, 0.0, draws)


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


def test_candidates_is_the_number_of_draws() -> None:
    assert POLICY.draws(options_of("learned")) == 3
    assert POLICY.draws(options_of("learned", candidates=5)) == 5


@pytest.mark.parametrize("candidates", [0, 9, 1.5])
def test_a_number_of_candidates_out_of_range_is_refused(candidates: float) -> None:
    with pytest.raises(ValueError, match="candidates"):
        options_of("learned", candidates=candidates)
