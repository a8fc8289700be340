"""The kernel asks the compiled policies as the router does: what it shows them, what they remember, what they pick."""

import re
from array import array
from itertools import accumulate
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulator.kernel.machine_code import OBSERVE, PICK
from simulator.kernel.state import VIEW
from smartlb import policies
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES
from tests.simulator.kernel_calls import InKernel, listed

DECLARED = (Path(policies.__file__).parent / "compiled.pxd").read_text()

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in POLICIES},
    "learned candidates=3": ("learned", {"candidates": 3}),
    "ip_hash load_bound=1.25": ("ip_hash", {"load_bound": 1.25}),
}

POOLS, PICKS = 20, 25


def pool_of(chance: Random, size: int, classes: int, weight: list[float], sight: float) -> PoolView:
    """Some are full that were not when the sums were made."""
    known = set(range(size)) if chance.random() < 0.5 else set(chance.sample(range(size), chance.randint(1, size)))
    eligible = sorted(chance.sample(sorted(known), chance.randint(1, len(known))))

    def sums(greatest: float) -> "array[float]":
        rows = [[chance.uniform(0.0, greatest) if at in known else 0.0 for at in range(size)] for _ in range(classes)]
        return array("d", [total for row in rows for total in accumulate(row)])

    return PoolView(
        eligible=array("i", eligible),
        barred=array("d", [0.0 if at in eligible else inf for at in range(size)]),
        in_flight=array("i", [chance.randrange(6) for _ in range(size)]),
        weight=array("d", weight),
        draw=sums(1.0),
        explore=sums(0.1 / size),
        base_s=array("d", [chance.choice([0.01, 0.02, 0.03]) for _ in range(size * classes)]),
        slope_s=array("d", [chance.choice([0.001, 0.002]) for _ in range(size * classes)]),
        sight=sight,
    )


@pytest.mark.parametrize(("name", "given"), VARIANTS.values(), ids=VARIANTS)
def test_the_kernel_picks_and_remembers_what_the_router_does(name: str, given: dict[str, Any]) -> None:
    policy, chance = POLICIES[name], Random(name)
    options = policy.options.model_validate(given)
    for _ in range(POOLS):
        size, classes, sight = chance.choice([1, 2, 5, 40]), chance.choice([1, 3]), chance.choice([1.0, 0.1])
        weight = [chance.choice([0.5, 1.0, 4.0]) for _ in range(size)]
        members = Members([f"b{at}" for at in range(size)], weight)
        memory, kernel = policy.remember(members, options), InKernel(policy, options, members)
        for step in range(PICKS):
            pool, now_s = pool_of(chance, size, classes, weight, sight), step * 0.7
            draws = [chance.random() for _ in range(policy.draws(options))]
            asked = (chance.randrange(classes), chance.getrandbits(64), now_s, draws)
            picked = policy.pick(pool, memory, *asked)
            assert picked in pool.eligible
            assert kernel.pick(pool, *asked) == picked
            if policy.observe:
                told = (chance.randrange(size), now_s, chance.choice([0.001, 0.02, 1.0]), chance.random() < 0.2)
                policy.observe(memory, *told)
                kernel.observe(*told)
        assert kernel.memory() == listed(memory)


def fields(struct: str, source: str) -> list[str]:
    """Names of a struct's fields, in order, in Cython source."""
    body = source.partition(f"cdef struct {struct}:\n")[2].partition("\n\n")[0]
    return re.findall(r"[ *](\w+)(?:  #.*)?$", re.sub(r"^ *#.*$", "", body, flags=re.MULTILINE), flags=re.MULTILINE)


def test_a_view_is_the_struct_that_policies_read() -> None:
    assert list(VIEW.names or ()) == fields("View", DECLARED)
    assert VIEW.itemsize == 8 * len(fields("View", DECLARED))


def test_signatures_are_those_of_the_functions() -> None:
    kinds = {"int": "int32", "bint": "int32", "uint64_t": "uint64", "double": "float64"}
    for name, signature in (("PickFunction", PICK), ("ObserveFunction", OBSERVE)):
        declared = re.search(rf"\(\*{name}\)\((.*?)\) noexcept nogil", DECLARED, re.DOTALL)
        assert declared
        arguments = [argument.strip() for argument in declared[1].split(",")]
        types = ["uint64" if "*" in each else kinds[each.split()[0]] for each in arguments]
        assert [str(kind) for kind in signature.args] == types
