import random
from collections import Counter
from collections.abc import Sequence

import pytest

from smartlb.policies.registry import POLICIES
from tests.policies.pools import memory_of, pool_view

POLICY = POLICIES["random"]
WEIGHT = [1.0, 2.0, 3.0, 4.0]


def shares(barred: set[int], draws: Sequence[Sequence[float]]) -> dict[int, float]:
    pool, memory = pool_view([0] * 4, weight=WEIGHT, barred=barred), memory_of("random", WEIGHT)
    picks = Counter(POLICY.pick(pool, memory, 0, 0, 0.0, draw) for draw in draws)
    return {at: count / len(draws) for at, count in picks.items()}


def test_a_draw_falls_by_weight() -> None:
    grid = [((turn + 0.5) / 1000, 0.0, 0.0, 0.0) for turn in range(1000)]
    assert shares(set(), grid) == {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}


def test_what_falls_on_a_barred_backend_is_drawn_again() -> None:
    # 0.95 and 0.65 fall on the fourth backend, whose part is 0.6 to 1; 0.2 on the second.
    assert shares({3}, [(0.95, 0.65, 0.2, 0.0)]) == {1: 1.0}


@pytest.mark.parametrize("barred", [{3}, {1, 3}, {0, 2}])
def test_the_eligible_share_by_weight(barred: set[int]) -> None:
    chance = random.Random(1)
    draws = [tuple(chance.random() for _ in range(POLICY.draws(POLICY.options()))) for _ in range(20_000)]
    total = sum(weight for at, weight in enumerate(WEIGHT) if at not in barred)
    expected = {at: weight / total for at, weight in enumerate(WEIGHT) if at not in barred}
    assert shares(barred, draws) == pytest.approx(expected, abs=0.02)


def test_after_misses_the_last_draw_decides_among_the_eligible() -> None:
    # The first three all fall on the fourth backend.
    grid = [(0.9, 0.9, 0.9, (turn + 0.5) / 600) for turn in range(600)]
    assert shares({3}, grid) == pytest.approx({0: 1 / 6, 1: 2 / 6, 2: 3 / 6})
