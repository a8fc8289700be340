"""round_robin and smooth_weighted_round_robin."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.policies.registry import POLICIES
from smartlb.policies.smooth_weighted_round_robin import pick_by_loop, pick_by_numpy
from tests.policies.pools import memory_of, pool_view

round_robin = POLICIES["round_robin"].pick
smooth = POLICIES["smooth_weighted_round_robin"].pick
loop_and_numpy = pytest.mark.parametrize("pick", [pick_by_loop, pick_by_numpy])


def names(picks: Sequence[int]) -> str:
    return "".join("abcdefgh"[at] for at in picks)


def test_round_robin_takes_each_in_turn() -> None:
    pool, memory = pool_view([5, 0, 0]), memory_of("round_robin", [1.0] * 3)
    assert names([round_robin(pool, memory, 0, 0, 0.0, ()) for _ in range(7)]) == "abcabca"


def test_round_robin_passes_over_the_barred() -> None:
    memory = memory_of("round_robin", [1.0] * 4)
    pool = pool_view([0] * 4, barred={1})
    assert names([round_robin(pool, memory, 0, 0, 0.0, ()) for _ in range(6)]) == "acdacd"


@loop_and_numpy
@pytest.mark.parametrize("weight", [[5.0, 1.0, 1.0], [0.5, 0.1, 0.1]])
def test_smooth_gives_the_sequence_of_its_source(pick: Any, weight: list[float]) -> None:
    memory, pool = memory_of("smooth_weighted_round_robin", weight), pool_view([0] * 3, weight=weight)
    assert names([pick(pool, memory, 0, 0, 0.0, ()) for _ in range(14)]) == "aabacaa" * 2


@loop_and_numpy
def test_smooth_adds_and_takes_eligible_weights_only(pick: Any) -> None:
    weight = [4.0, 2.0, 1.0]
    memory = memory_of("smooth_weighted_round_robin", weight)
    # Current weights 4 2 1, then a gives up 7; then 2 and 4, less 6 for c; then 0 and 2 without c's 1.
    assert pick(pool_view([0] * 3, weight=weight), memory, 0, 0, 0.0, ()) == 0
    assert [current / 1e6 for current in memory.current] == [-3.0, 2.0, 1.0]
    assert pick(pool_view([0] * 3, weight=weight, barred={1}), memory, 0, 0, 0.0, ()) == 2
    assert [current / 1e6 for current in memory.current] == [1.0, 2.0, -3.0]
    assert pick(pool_view([0] * 3, weight=weight, barred={0, 1}), memory, 0, 0, 0.0, ()) == 2
    assert [current / 1e6 for current in memory.current] == [1.0, 2.0, -3.0]


@pytest.mark.parametrize("size", [4, 40])
def test_smooth_shares_by_weight_exactly(size: int) -> None:
    weight = [float(1 + at % 4) for at in range(size)]
    memory, pool = memory_of("smooth_weighted_round_robin", weight), pool_view([0] * size, weight=weight)
    picks = Counter(smooth(pool, memory, 0, 0, 0.0, ()) for _ in range(3 * int(sum(weight))))
    assert picks == {at: 3 * weight[at] for at in range(size)}


def test_smooth_loop_and_numpy_agree() -> None:
    @settings(deadline=None, derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 12))
        weight = data.draw(st.lists(st.floats(1e-9, 256.0), min_size=size, max_size=size))
        memory, same = (memory_of("smooth_weighted_round_robin", weight) for _ in range(2))
        outs = st.sets(st.integers(0, size - 1), max_size=size - 1)
        for barred in data.draw(st.lists(outs, max_size=20)):
            pool = pool_view([0] * size, weight=weight, barred=barred)
            assert pick_by_loop(pool, memory, 0, 0, 0.0, ()) == pick_by_numpy(pool, same, 0, 0, 0.0, ())
            assert memory == same

    check()
