"""What policies promise when a pool's members change."""

import random
from array import array
from typing import Any

import pytest

from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES
from tests.policies.pools import pool_view

SIZE = 5

every_policy = pytest.mark.parametrize("name", POLICIES)


def members(names: list[str]) -> Members:
    return Members(names, [2.0 if name else 0.0 for name in names])


def serve(name: str, memory: Any, present: list[str], rng: random.Random, count: int = 50) -> set[int]:
    """Some requests; returns where they went."""
    policy = POLICIES[name]
    vacant = {at for at, each in enumerate(present) if not each}
    pool = pool_view([0] * SIZE, barred=vacant)
    picked = set()
    for number in range(count):
        draws = tuple(rng.random() for _ in range(policy.draws(policy.options())))
        at = policy.pick(pool, memory, 0, rng.getrandbits(64), float(number), draws)
        picked.add(at)
        if policy.observe:
            policy.observe(memory, at, float(number), 0.01 * (at + 1), at == 1)
    assert not picked & vacant
    return picked


@every_policy
def test_only_those_that_are_there_are_picked_whatever_joins_and_leaves(name: str) -> None:
    policy, rng = POLICIES[name], random.Random(1)
    names = ["a", "b", "", "", ""]
    memory = policy.remember(members(names), policy.options())
    for turn in range(60):
        before = list(names)
        for at in range(SIZE):
            if rng.random() < 0.4:
                names[at] = rng.choice(["", f"{at}-{turn}"])
        same = [at for at in range(SIZE) if names[at] and names[at] == before[at]]
        memory = policy.renew(memory, members(names), policy.options(), same)
        if any(names):
            assert serve(name, memory, names, rng)


@every_policy
def test_a_position_given_anew_begins_from_nothing_and_the_others_go_on(name: str) -> None:
    policy = POLICIES[name]
    names = ["a", "b", "c", "d", "e"]
    memory = policy.remember(members(names), policy.options())
    serve(name, memory, names, random.Random(2), 200)
    blank = policy.remember(members(["a", "new", "c", "d", "e"]), policy.options())
    renewed = policy.renew(memory, members(["a", "new", "c", "d", "e"]), policy.options(), [0, 2, 3, 4])
    for field in policy.keeps:
        old, new, fresh = (array("d", getattr(each, field)) for each in (memory, renewed, blank))
        if len(old) == SIZE:
            assert new[1] == fresh[1], field
            assert [new[at] for at in (0, 2, 3, 4)] == [old[at] for at in (0, 2, 3, 4)], field
        else:
            assert new == old, field
