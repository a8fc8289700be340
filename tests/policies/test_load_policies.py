"""The policies that look at requests in flight alone: least connections, weighted or not; power of two."""

from collections import Counter

from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, pool_view

least_connections = POLICIES["least_connections"].pick
weighted_least_connections = POLICIES["weighted_least_connections"].pick
power_of_two = POLICIES["power_of_two"].pick


def test_least_connections_takes_the_fewest_and_ignores_weights() -> None:
    pool = pool_view([4, 2, 3], weight=[100.0, 1.0, 100.0])
    assert least_connections(pool, (), 0, 0, 0.0, (0.9,)) == 1


def test_weighted_least_connections_takes_the_shortest_expected_delay() -> None:
    # (in flight + 1) / weight: 5/4, 2/1, 4/3.
    pool = pool_view([4, 1, 3], weight=[4.0, 1.0, 3.0])
    assert weighted_least_connections(pool, (), 0, 0, 0.0, (0.9,)) == 0


def test_weighted_least_connections_fills_by_weight() -> None:
    pool = pool_view([0, 0, 0], weight=[4.0, 2.0, 1.0])
    for turn in range(70):
        pool.in_flight[weighted_least_connections(pool, (), 0, 0, 0.0, (turn % 3 / 3,))] += 1  # type: ignore[index]
    assert list(pool.in_flight) == [40, 20, 10]


def test_power_of_two_takes_the_less_loaded_of_its_two() -> None:
    pool = pool_view([3, 1, 0])
    # The draws 0.0 and 0.0 are backends 0 and 1: the second counts among those that are left.
    assert power_of_two(pool, (), 0, 0, 0.0, (0.0, 0.0)) == 1
    assert power_of_two(pool, (), 0, 0, 0.0, (0.0, 0.5)) == 2


def test_power_of_two_counts_by_weight() -> None:
    # (3 + 1) / 8 against (0 + 1) / 1.
    pool = pool_view([3, 0], weight=[8.0, 1.0])
    assert power_of_two(pool, (), 0, 0, 0.0, (0.9, 0.0)) == 0


def test_power_of_two_keeps_the_first_drawn_on_ties() -> None:
    pool = pool_view([2, 2, 2])
    firsts = [power_of_two(pool, (), 0, 0, 0.0, (draw, 0.9)) for draw in (0.0, 0.5, BELOW_ONE)]
    assert firsts == [0, 1, 2]


def test_power_of_two_draws_every_pair_alike() -> None:
    grid = [(turn + 0.5) / 12 for turn in range(12)]
    pairs: Counter[frozenset[int]] = Counter()
    for first in grid:
        for second in grid:
            # The one without load shows which two were drawn: barring either leaves the other.
            drawn = power_of_two(pool_view([0, 0, 0, 0]), (), 0, 0, 0.0, (first, second))
            loaded = pool_view([int(at == drawn) for at in range(4)])
            pairs[frozenset((drawn, power_of_two(loaded, (), 0, 0, 0.0, (first, second))))] += 1
    assert len(pairs) == 6
    assert set(pairs.values()) == {24}


def test_power_of_two_never_picks_the_most_loaded() -> None:
    pool = pool_view([9, 1, 2, 3])
    grid = [turn / 20 for turn in range(20)]
    assert 0 not in {power_of_two(pool, (), 0, 0, 0.0, (first, second)) for first in grid for second in grid}
