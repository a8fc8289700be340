"""How the router asks and tells a compiled policy."""

import re
from array import array
from collections.abc import Iterator
from itertools import islice
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from smartlb.core.view import PoolView
from smartlb.policies import compiled
from smartlb.policies.compiled import NOBODY, CompiledPolicy
from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES
from tests.policies.pools import members, options_of, pool_view

FOLDER = Path(compiled.__file__).parent


def draws_of(seed: int) -> Iterator[float]:
    """xoshiro256+ seeded by splitmix64, in other words."""
    bits = 2**64 - 1
    words = []
    for _ in range(4):
        seed = (seed + 0x9E3779B97F4A7C15) & bits
        word = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & bits
        word = (word ^ word >> 27) * 0x94D049BB133111EB & bits
        words.append(word ^ word >> 31)
    while True:
        yield ((words[0] + words[3] & bits) >> 11) / 2**53
        shifted = words[1] << 17 & bits
        words[2] ^= words[0]
        words[3] ^= words[1]
        words[1] ^= words[2]
        words[0] ^= words[3]
        words[2] ^= shifted
        words[3] = (words[3] << 45 | words[3] >> 19) & bits


def made(name: str, pool: PoolView, seed: int = 1, **options: Any) -> CompiledPolicy:
    """A compiled policy that sees a pool."""
    policy = POLICIES[name].made(members(pool.weight), options_of(name, **options), seed)
    policy.see(pool)
    return policy


def fill(pool: PoolView, *full: int) -> None:
    """Backends have no room any more, as the pool says it: in place."""
    for at in full:
        pool.barred[at] = inf  # type: ignore[index]
        pool.eligible.remove(at)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1, 2**70])
def test_draws_are_those_of_the_generator(seed: int) -> None:
    policy = made("learned", pool_view([0]), seed)
    assert [policy.draw_once() for _ in range(50)] == list(islice(draws_of(seed & 2**64 - 1), 50))


@pytest.mark.parametrize("name", POLICIES)
def test_a_pick_is_that_of_the_program_with_the_generators_draws(name: str) -> None:
    chance, draws, size = Random(name), draws_of(3), 12
    pool = pool_view([0] * size, weight=[float(1 + at % 3) for at in range(size)], explore=[[0.01] * size])
    policy, memory = made(name, pool, 3), POLICIES[name].remember(members(pool.weight), options_of(name))
    count = POLICIES[name].draws(options_of(name))
    for step in range(2000):
        pool.in_flight[step % size] = chance.randrange(6)  # type: ignore[index]
        key, now_s = chance.getrandbits(64), step * 0.01
        at = policy.pick(0, key, now_s)
        assert at == POLICIES[name].pick(pool, memory, 0, key, now_s, list(islice(draws, count)))
        if POLICIES[name].observe:
            told = (at, now_s, chance.choice([0.001, 0.1, 2.0]), chance.random() < 0.1)
            policy.observe(*told)
            POLICIES[name].observe(memory, *told)  # type: ignore[misc]
    assert policy.memory == memory


@pytest.mark.parametrize("name", POLICIES)
def test_backends_that_fill_up_are_passed_over_until_they_have_room(name: str) -> None:
    explore = [[0.2] * 4]
    pool = pool_view([0] * 4, explore=explore)
    policy = made(name, pool)
    chance = Random(4)

    def picks() -> set[int]:
        return {policy.pick(0, chance.getrandbits(64), turn * 0.5) for turn in range(400)}

    assert picks() == set(range(4))
    fill(pool, 3, 0)
    assert picks() == {1, 2}
    fill(pool, 1, 2)
    assert picks() == {NOBODY}
    pool.eligible.extend([0, 1, 3])  # type: ignore[attr-defined]
    for at in (0, 1, 3):
        pool.barred[at] = 0.0  # type: ignore[index]
    assert picks() == {0, 1, 3}


@pytest.mark.parametrize("candidates", [0, 1])
def test_a_request_that_was_to_explore_a_full_backend_goes_where_it_is_cheapest(candidates: int) -> None:
    pool = pool_view([0] * 5, explore=[[0.0, 0.0, 1.0, 0.0, 0.0]], base_s=[[0.03, 0.02, 0.05, 0.01, 0.04]])
    policy = made("learned", pool, candidates=candidates)
    assert {policy.pick(0, 0, 0.0) for _ in range(50)} == {2}
    fill(pool, 2)
    if candidates == 0:
        assert {policy.pick(0, 0, 0.0) for _ in range(50)} == {3}
    else:
        assert {policy.pick(0, 0, 0.0) for _ in range(200)} == {0, 1, 3, 4}


def test_where_all_candidates_are_full_it_is_the_cheapest_of_all() -> None:
    pool = pool_view([0] * 4, learned=[[1.0, 1.0, 0.0, 0.0]], base_s=[[0.01, 0.02, 0.04, 0.03]])
    policy = made("learned", pool, candidates=2)
    assert {policy.pick(0, 0, 0.0) for _ in range(50)} <= {0, 1}
    fill(pool, 0, 1)
    assert {policy.pick(0, 0, 0.0) for _ in range(50)} == {3}


def test_the_counts_may_lie_in_shared_memory() -> None:
    counts = np.array([5, 0, 5], dtype=np.int32)
    policy = made("least_connections", pool_view([0] * 3)._replace(in_flight=counts))  # type: ignore[arg-type]
    assert policy.pick(0, 0, 0.0) == 1
    counts[:] = 1, 1, 0
    assert policy.pick(0, 0, 0.0) == 2


def test_before_the_first_snapshot_a_policy_that_needs_none_has_no_rows() -> None:
    pool = pool_view([0, 3])._replace(draw=(), explore=(), base_s=(), slope_s=())
    assert made("weighted_least_connections", pool).pick(7, 0, 0.0) == 0
    with pytest.raises(IndexError, match="request class 0"):
        made("learned", pool).pick(0, 0, 0.0)


def test_a_request_class_that_nothing_is_known_of_is_refused() -> None:
    policy = made("learned", pool_view([0, 0]))
    for request_class in (1, -1):
        with pytest.raises(IndexError, match=f"request class {request_class}: there are 1"):
            policy.pick(request_class, 0, 0.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weight": array("d", [1.0] * 3)}, "3 weights"),
        ({"barred": array("d", [0.0])}, "2 weights"),
        ({"in_flight": array("q", [0, 0])}, "type 'i'"),
        ({"eligible": array("q", [0, 1])}, "`eligible` as an array of type 'i'"),
        ({"draw": array("d", [1.0])}, "learned rows of 2 backends"),
        ({"slope_s": array("d", [1.0] * 4)}, "learned rows of 2 backends"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(wrong: dict[str, Any], said: str) -> None:
    policy = made("learned", pool_view([0, 0]))
    with pytest.raises(ValueError, match=said):
        policy.see(pool_view([0, 0])._replace(**wrong))
    assert policy.pick(0, 0, 0.0) in (0, 1)


def test_a_view_of_another_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="2 positions, the view 3"):
        made("learned", pool_view([0, 0])).see(pool_view([0, 0, 0]))


def test_what_a_policy_reads_cannot_change_its_length_but_for_who_is_eligible() -> None:
    pool = pool_view([0, 0])
    policy = made("learned", pool)
    with pytest.raises(BufferError):
        pool.barred.append(0.0)  # type: ignore[attr-defined]
    assert policy.pick(0, 0, 0.0) in (0, 1)


def test_new_members_begin_from_nothing_and_the_others_go_on() -> None:
    pool = pool_view([0] * 3)
    policy = made("learned", pool)
    for at in range(3):
        policy.observe(at, 0.0, 0.1, True)
    policy.renew(Members(["backend-0", "another", "backend-2"], [1.0] * 3), [0, 2])
    assert policy.memory.failures.tolist() == [1, 0, 1]
    policy.observe(0, 0.0, 0.1, True)
    assert policy.memory.failures.tolist() == [2, 0, 1]


def test_an_answer_of_a_position_that_is_not_there_is_dropped() -> None:
    policy = made("learned", pool_view([0] * 3))
    before = [list(part) for part in policy.memory[1:]]
    for position in (-1, 3):
        policy.observe(position, 0.0, 0.1, True)
    assert [list(part) for part in policy.memory[1:]] == before


STRUCTS = {
    "learned": ("experience.pxd", "Memory"),
    "round_robin": ("round_robin.pyx", "Turns"),
    "smooth_weighted_round_robin": ("smooth_weighted_round_robin.pyx", "Weights"),
    "random": ("weighted_random.pyx", "Weights"),
    "peak_ewma": ("peak_ewma.pyx", "Averages"),
    "least_time": ("least_time.pyx", "Times"),
    "ip_hash": ("ring_walk.pyx", "Ring"),
    "url_hash": ("ring_walk.pyx", "Ring"),
}
"""Where the struct is as which a policy reads its memory."""

KINDS = {"double": "d", "long long": "q", "int": "i", "uint64_t": "Q"}


@pytest.mark.parametrize("name", POLICIES)
def test_a_memory_has_the_parts_of_the_struct_in_its_order(name: str) -> None:
    memory = POLICIES[name].remember(members([1.0, 2.0]), options_of(name))
    if name not in STRUCTS:
        assert memory == ()
        return
    file, struct = STRUCTS[name]
    body = (FOLDER / file).read_text().partition(f"cdef struct {struct}:\n")[2].partition("\n\n")[0]
    declared = re.findall(r"^    (?:const )?(double|long long|int|uint64_t) \*(\w+)$", body, re.MULTILINE)
    kinds = {float: "d", int: "q"}
    parts = [kinds.get(type(part)) or part.typecode for part in memory]
    assert [(KINDS[kind], field) for kind, field in declared] == list(zip(parts, memory._fields, strict=True))
