from typing import Any

import pytest

from simulator.kernel.state import World
from simulator.references.clairvoyant import CRASHED_S, FULL_S, HANGING_S, PAUSED_S, cost_s, pick
from tests.policies.pools import pool_view
from tests.simulator.references.worlds import memory_of, world_of


def memory(backends: int = 2, work: float = 1.0, **options: Any) -> Any:
    """With the speeds and a mean work known."""
    known = memory_of("clairvoyant", [1.0] * backends, **{"later": 0.0, **options})
    for at in range(backends):
        known.speed[at] = 1.0
    known.work[0], known.work[1] = work, 1.0
    return known


def queued() -> World:
    """Two backends of two cores, the clock at 1.5; the first core is free at 3 here and at 2 there."""
    world = world_of(2, slots=2)
    world.lane_v[:] = [5.0, 3.0, 2.0, 9.0]
    world.servers["virtual_s"], world.servers["since_s"] = 1.0, 10.0
    return world


def test_first_come_first_served_ends_after_the_first_free_core_and_the_work() -> None:
    world = queued()
    assert cost_s(world, memory(), 0, 0, 10.5) == 1.5 + 1.0
    assert cost_s(world, memory(), 1, 0, 10.5) == 0.5 + 1.0
    assert cost_s(world, memory(), 1, 0, 30.0) == 1.0
    assert pick(pool_view([0, 0]), world, memory(), 0, 0, 10.5, (0.0,)) == 1


def test_the_backends_clock_may_be_slow() -> None:
    world = queued()
    world.servers["speed"] = world.servers["rate"] = 0.5
    assert cost_s(world, memory(), 0, 0, 10.5) == (3.0 - 1.25 + 1.0) / 0.5
    world.servers["round_trip_s"] = 0.25
    world.speed[0, 0] = 4.0
    assert cost_s(world, memory(), 0, 0, 10.5) == (3.0 - 1.25 + 0.25) / 0.5 + 0.25


def test_later_requests_lose_by_the_share_of_the_work() -> None:
    world = queued()
    # own + later × share × (own - 3/4 work)
    assert cost_s(world, memory(later=8.0), 0, 0, 10.5) == 2.5 + 8.0 * (2.5 - 0.75)
    assert cost_s(world, memory(later=8.0, work=4.0), 0, 0, 10.5) == 2.5 + 8.0 * 0.25 * (2.5 - 0.75)


def shared(**rows: float) -> World:
    """A backend that serves two, with 1 and 3 left to do."""
    world = world_of(1, slots=4)
    for field, value in {"cores": 1.0, "serving": 2, **rows}.items():
        world.servers[field] = value
    world.heap_v[:2] = [1.0, 3.0]
    world.work_s[0] = 2.0
    return world


def test_shared_cores_delay_this_request_and_the_others() -> None:
    # Three share until 1 is done (3 s), two until 2 is (2 s); the others end at 3 and 6 instead of 2 and 4.
    assert cost_s(shared(), memory(1), 0, 0, 0.0) == 5.0 + 1.0 + 2.0
    # With two cores: 1.5 s and 1 s, and the others end at 1.5 and 3.5 instead of 1 and 3.
    assert cost_s(shared(cores=2.0), memory(1), 0, 0, 0.0) == 2.5 + 0.5 + 0.5


def test_growth_delays_this_request() -> None:
    world = shared(cores=4.0, growth=0.5)
    assert cost_s(world, memory(1), 0, 0, 0.0) == 2.0 + 1.5


def test_without_a_free_slot_it_waits() -> None:
    # 1 until the first ends, (1 waiting × 2 mean) / 2 slots, and 2 of its own, all at half the speed; one other waits.
    world = shared(slots=2, waiting=1)
    assert cost_s(world, memory(1, work=2.0), 0, 0, 0.0) == 2.0 * (1.0 + 1.0 + 2.0) + 2.0


def test_it_knows_how_long_tails_and_failures_take() -> None:
    world = world_of(1)
    world.servers["tail"], world.servers["tail_factor"] = 0.25, 5.0
    assert cost_s(world, memory(1), 0, 0, 0.0) == 2.0
    world.servers["fail"] = 0.5
    assert cost_s(world, memory(1, failure_s=3.0), 0, 0, 0.0) == 3.5


def test_what_does_not_answer_is_worse_than_any_that_does() -> None:
    world = world_of(5)
    world.lane_v[0] = 1000.0
    world.servers["speed"][1] = 0.0
    world.servers["room"][2] = 0
    world.servers["crashed"][3] = 1
    world.servers["hanging"][4] = 1
    costs = [cost_s(world, memory(5), at, 0, 0.0) for at in range(5)]
    assert costs == [1001.0, PAUSED_S + 1.0, FULL_S, CRASHED_S, HANGING_S]
    assert costs == sorted(costs)


def test_a_request_waits_for_its_own_place_the_longer_the_longer_all_queues_are() -> None:
    world = world_of(2, classes=2)
    world.speed[:] = [[1.0, 0.25], [0.25, 1.0]]
    pool = pool_view([0, 0])

    def picked(here_s: float, there_s: float, **options: float) -> int:
        world.lane_v[:] = here_s, there_s
        return pick(pool, world, memory_of("clairvoyant", [1.0] * 2, **options), 0, 0, 0.0, (0.0,))

    # The mean speed is 0.625, so the shares are 0.625 and 2.5: 6 here + 2.25 against 21 there + 24.
    assert (picked(3.5, 0.0), picked(3.7, 0.0)) == (0, 1)
    assert (picked(38.0, 10.0), picked(39.0, 10.0)) == (0, 1)
    # By the end alone.
    assert (picked(2.9, 0.0, later=0.0), picked(3.1, 0.0, later=0.0)) == (0, 1)
    assert (picked(12.9, 10.0, later=0.0), picked(13.1, 10.0, later=0.0)) == (0, 1)


@pytest.mark.parametrize(("draw", "picked"), [(0.0, 0), (0.4, 1), (0.9, 2)])
def test_ties_go_to_a_random_start(draw: float, picked: int) -> None:
    assert pick(pool_view([0, 0, 0]), world_of(3), memory_of("clairvoyant", [1.0] * 3), 0, 0, 0.0, (draw,)) == picked
