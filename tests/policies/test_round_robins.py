"""round_robin and smooth_weighted_round_robin."""

from collections import Counter
from collections.abc import Sequence

import pytest

from smartlb.policies.registry import POLICIES
from tests.policies.pools import memory_of, pool_view

round_robin = POLICIES["round_robin"].pick
smooth = POLICIES["smooth_weighted_round_robin"].pick


def names(picks: Sequence[int]) -> str:
    return "".join("abcdefgh"[at] for at in picks)


def test_round_robin_takes_each_in_turn() -> None:
    pool, memory = pool_view([5, 0, 0]), memory_of("round_robin", [1.0] * 3)
    assert names([round_robin(pool, memory, 0, 0, 0.0, ()) for _ in range(7)]) == "abcabca"


def test_round_robin_passes_over_the_barred() -> None:
    memory = memory_of("round_robin", [1.0] * 4)
    pool = pool_view([0] * 4, barred={1})
    assert names([round_robin(pool, memory, 0, 0, 0.0, ()) for _ in range(6)]) == "acdacd"


@pytest.mark.parametrize("weight", [[5.0, 1.0, 1.0], [0.5, 0.1, 0.1]])
def test_smooth_gives_the_sequence_of_its_source(weight: list[float]) -> None:
    memory, pool = memory_of("smooth_weighted_round_robin", weight), pool_view([0] * 3, weight=weight)
    assert names([smooth(pool, memory, 0, 0, 0.0, ()) for _ in range(14)]) == "aabacaa" * 2


def test_smooth_adds_and_takes_eligible_weights_only() -> None:
    weight = [4.0, 2.0, 1.0]
    memory = memory_of("smooth_weighted_round_robin", weight)
    # Current weights 4 2 1, then a gives up 7; then 2 and 4, less 6 for c; then 0 and 2 without c's 1.
    assert smooth(pool_view([0] * 3, weight=weight), memory, 0, 0, 0.0, ()) == 0
    assert [current / 1e6 for current in memory.current] == [-3.0, 2.0, 1.0]
    assert smooth(pool_view([0] * 3, weight=weight, barred={1}), memory, 0, 0, 0.0, ()) == 2
    assert [current / 1e6 for current in memory.current] == [1.0, 2.0, -3.0]
    assert smooth(pool_view([0] * 3, weight=weight, barred={0, 1}), memory, 0, 0, 0.0, ()) == 2
    assert [current / 1e6 for current in memory.current] == [1.0, 2.0, -3.0]


@pytest.mark.parametrize("size", [4, 40])
def test_smooth_shares_by_weight_exactly(size: int) -> None:
    weight = [float(1 + at % 4) for at in range(size)]
    memory, pool = memory_of("smooth_weighted_round_robin", weight), pool_view([0] * size, weight=weight)
    picks = Counter(smooth(pool, memory, 0, 0, 0.0, ()) for _ in range(3 * int(sum(weight))))
    assert picks == {at: 3 * weight[at] for at in range(size)}
