from math import inf
from typing import Any

import pytest

from simulator.kernel.state import LATEST, World
from simulator.references.prequal import Options, pick, reuse
from simulator.references.prequal_estimate import estimate_s, observe
from simulator.references.prequal_pool import best, prune, receive, send, threshold, use
from tests.policies.pools import pool_view
from tests.simulator.references.worlds import memory_of, world_of

DRAWS = (0.0,) * 7


def memory(backends: int = 4, **options: Any) -> Any:
    return memory_of("prequal", [1.0] * backends, **options)


def answered(*answers: tuple[int, int, float], **options: Any) -> Any:
    """With answers (backend, requests in flight, latency), that came at 1, 2, 3 ..., for many uses each."""
    known = memory(10, **options)
    for at, (backend, rif, latency_s) in enumerate(answers):
        send(known, backend, 1.0 + at, rif, latency_s, 9)
    receive(known, float(len(answers)))
    return known


def pooled(known: Any) -> dict[int, int]:
    """Requests in flight by backend."""
    return {known.backend[at]: known.rif[at] for at in range(known.size[0])}


def served(world: World, backend: int, *latencies: tuple[int, float]) -> None:
    """Requests (met, latency) end at a backend."""
    for met, latency_s in latencies:
        at = world.servers[backend].latest % LATEST
        world.latest_met[backend, at], world.latest_s[backend, at] = met, latency_s
        world.servers["latest"][backend] += 1


def test_reuse_is_by_the_rates_of_probes_and_removals() -> None:
    assert reuse(Options(), 100) == pytest.approx(2.0 / (0.84 * 3 - 1))
    assert reuse(Options(probes=1, removes=0), 1000) == pytest.approx(2.0 / 0.984)
    assert reuse(Options(delta=0.0), 100) == 1.0
    assert reuse(Options(), 10) == 16.0


def test_an_answer_comes_after_a_round_trip_with_what_was_true_when_it_was_asked_for() -> None:
    world = world_of(4)
    world.servers["round_trip_s"] = 0.5
    world.servers["serving"] = [1, 2, 3, 4]
    known, pool = memory(), pool_view([0] * 4)
    pick(pool, world, known, 0, 0, 0.0, DRAWS)
    world.servers["serving"] = 0
    receive(known, 0.4)
    assert pooled(known) == {}
    receive(known, 0.5)
    # Floyd's draws of 0.0: the first, then the last of each longer list.
    assert pooled(known) == {0: 1, 2: 3, 3: 4}


def test_probes_may_overtake_each_other_and_the_newest_counts() -> None:
    known = memory()
    for until_s, rif in ((3.0, 3), (1.0, 1), (2.0, 2)):
        send(known, 0, until_s, rif, 0.0, 1)
    for now_s, rif in ((1.0, 1), (2.5, 2), (3.0, 3)):
        receive(known, now_s)
        assert pooled(known) == {0: rif}


def test_answers_age() -> None:
    known = answered((0, 1, 0.0), age_s=1.0)
    receive(known, 2.0)
    assert known.size[0] == 1
    receive(known, 2.1)
    assert known.size[0] == 0


def test_a_full_pool_loses_its_oldest() -> None:
    known = answered((0, 5, 0.0), (1, 6, 0.0), (2, 7, 0.0), pool=2, age_s=60.0)
    assert pooled(known) == {1: 6, 2: 7}


def test_those_that_crashed_hang_or_are_paused_do_not_answer() -> None:
    world = world_of(4)
    world.servers["crashed"][0] = world.servers["hanging"][2] = 1
    world.servers["speed"][3] = 0.0
    known = memory()
    for now_s in (0.0, 0.1):
        pick(pool_view([0] * 4), world, known, 0, 0, now_s, DRAWS)
    assert pooled(known) == {}


def test_the_quantile_is_of_the_latest_answers() -> None:
    known = memory(q_rif=0.5, history=5)
    assert threshold(known) == inf
    for at, rif in enumerate((9, 1, 2, 3, 4, 5)):
        send(known, 0, float(at), rif, 0.0, 1)
    receive(known, 5.0)
    assert list(known.ordered) == [1, 2, 3, 4, 5]
    assert threshold(known) == 3.0


def test_the_fastest_cold_one_is_used_and_the_least_busy_if_all_are_hot() -> None:
    answers = ((0, 10, 0.001), (1, 2, 0.05), (2, 3, 0.02))
    known = answered(*answers, age_s=60.0, q_rif=0.5)
    assert threshold(known) == 3.0
    pool = pool_view([0] * 10)
    assert known.backend[best(known, pool)] == 2
    assert known.backend[best(known, pool_view([0] * 10, barred={2}))] == 1
    for at in range(64):
        send(known, 9, 3.0 + at / 1000, 0, 0.0, 1)
    receive(known, 4.0)
    assert threshold(known) == 0.0
    assert known.backend[best(known, pool_view([0] * 10, barred={9}))] == 1


def test_an_answer_that_is_used_counts_one_more_and_ends_after_its_uses() -> None:
    known = memory()
    send(known, 3, 1.0, 5, 0.0, 2)
    receive(known, 1.0)
    assert use(known, 0) == 3
    assert pooled(known) == {3: 6}
    assert use(known, 0) == 3
    assert pooled(known) == {}


def test_the_oldest_and_the_worst_go_by_turns() -> None:
    known = answered((0, 1, 0.1), (1, 9, 0.1), (2, 2, 0.3), (3, 2, 0.2), age_s=60.0, q_rif=0.5)
    for left in ({1, 2, 3}, {2, 3}, {3}):
        prune(known)
        assert set(pooled(known)) == left
    slow = answered((0, 1, 0.1), (1, 1, 0.1), (2, 1, 0.3), (3, 1, 0.2), age_s=60.0)
    prune(slow)
    prune(slow)
    assert set(pooled(slow)) == {1, 3}


def test_with_fewer_than_two_usable_answers_it_is_random() -> None:
    known = answered((7, 0, 0.0), (8, 0, 0.0), age_s=60.0, removes=0)
    world = world_of(10)
    world.servers["crashed"] = 1
    pool = pool_view([0] * 10, barred={8})
    assert [pick(pool, world, known, 0, 0, 2.0, (draw, *DRAWS[1:])) for draw in (0.0, 0.5, 0.99)] == [0, 4, 9]
    assert pick(pool_view([0] * 10), world, known, 0, 0, 2.0, DRAWS) == 7


class TestEstimate:
    def test_is_the_median_of_those_with_about_as_many(self) -> None:
        world, known = world_of(2), memory(2)
        served(world, 1, (4, 0.010), (5, 0.030), (6, 0.020), (9, 0.999))
        assert estimate_s(world, known, 1, 5, 0.0) == 0.020
        assert estimate_s(world, known, 1, 9, 0.0) == 0.999
        assert estimate_s(world, known, 0, 5, 0.0) == 0.0

    def test_is_of_the_nearest_where_there_is_none(self) -> None:
        world, known = world_of(1), memory(1)
        served(world, 0, (4, 0.010), (20, 0.030))
        assert estimate_s(world, known, 0, 10, 0.0) == 0.010
        assert estimate_s(world, known, 0, 500, 0.0) == 0.030

    def test_forgets(self) -> None:
        world, known = world_of(1), memory(1)
        served(world, 0, (0, 0.5))
        observe(world, known, 0, 1.0, 0.5, False)
        assert estimate_s(world, known, 0, 0, 2.0) == 0.5
        assert estimate_s(world, known, 0, 0, 2.1) == 0.0

    def test_keeps_the_latest_of_each_number(self) -> None:
        world, known = world_of(1), memory(1)
        for latency_s in range(1, 30):
            served(world, 0, (3, float(latency_s)))
            observe(world, known, 0, 0.0, 0.0, False)
        assert estimate_s(world, known, 0, 3, 0.0) == 26.0
