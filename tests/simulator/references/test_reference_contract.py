"""What every reference of the registry promises, in any situation; and that compiled code does the same."""

from array import array
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from simulator.kernel.state import World
from simulator.references.reference import Reference
from simulator.references.registry import REFERENCES
from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, members, pool_view
from tests.simulator.kernel_calls import InKernel, listed
from tests.simulator.references.worlds import (
    change,
    interpreted,
    random_world,
    world_of,
)

VARIANTS: dict[str, tuple[Reference, dict[str, Any]]] = {
    **{name: (reference, {}) for name, reference in REFERENCES.items()},
    "prequal pool=3 history=4": (REFERENCES["prequal"], {"pool": 3, "history": 4, "removes": 2, "q_rif": 0.5}),
    "grpc_wrr blackout_s=0.5": (REFERENCES["grpc_wrr"], {"blackout_s": 0.5, "expiry_s": 2.0, "update_s": 0.1}),
    "c3 adjust=False": (REFERENCES["c3"], {"adjust": False, "clients": 3}),
    "atw window_s=0.5": (REFERENCES["atw"], {"window_s": 0.5, "fewest": 1, "margin": 0.0, "sigmas": 0.0}),
}

every_variant = pytest.mark.parametrize(("reference", "given"), VARIANTS.values(), ids=VARIANTS.keys())


def pool_of(random: np.random.Generator, size: int, weight: list[float]) -> PoolView:
    barred = set(random.choice(size, random.integers(0, size), replace=False).tolist())
    return pool_view(random.integers(0, 20, size).tolist(), weight=weight, barred=barred)


def weights_of(random: np.random.Generator, size: int) -> list[float]:
    values = [1.0] if random.random() < 0.5 else [0.5, 1.0, 4.0]
    return [float(weight) for weight in random.choice(values, size)]


def serve(reference: Reference, options: Any, seed: int, steps: int = 25) -> tuple[list[int], list[Any]]:
    """Picks in a random world, and the memory that is left."""
    random = np.random.default_rng(seed)
    size, classes = int(random.choice([1, 2, 3, 20])), int(random.integers(1, 4))
    world, weight = random_world(random, size, classes), weights_of(random, size)
    memory = reference.remember(members(weight), options)
    picked = []
    for step in range(steps):
        pool = pool_of(random, size, weight)
        draws = random.random(reference.draws(options)).tolist()
        now_s = step * 0.1
        at = reference.pick(pool, interpreted(world), memory, int(random.integers(classes)), step, now_s, draws)
        assert at in pool.eligible
        picked.append(int(at))
        if reference.observe:
            reference.observe(interpreted(world), memory, at, now_s, random.random(), bool(random.random() < 0.3))
        change(random, world)
    return picked, listed(memory)


@every_variant
def test_picks_an_eligible_backend_and_the_same_one_again(reference: Reference, given: dict[str, Any]) -> None:
    options = reference.options.model_validate(given)
    for seed in range(4):
        assert serve(reference, options, seed) == serve(reference, options, seed)


@every_variant
@pytest.mark.parametrize("size", [1, 2, 10])
def test_the_only_eligible_backend_is_picked(reference: Reference, given: dict[str, Any], size: int) -> None:
    options = reference.options.model_validate(given)
    for only in {0, size // 2, size - 1}:
        pool = pool_view([3] * size, barred=set(range(size)) - {only})
        memory = reference.remember(members(pool.weight), options)
        for nth, draw in enumerate((0.0, 0.5, BELOW_ONE)):
            draws = (draw,) * reference.draws(options)
            assert reference.pick(pool, world_of(size), memory, 0, 2**64 - 1, float(nth), draws) == only


@every_variant
def test_compiled_and_interpreted_code_do_the_same(reference: Reference, given: dict[str, Any]) -> None:
    options = reference.options.model_validate(given)
    for seed in range(4):
        random = np.random.default_rng(seed)
        size, classes = int(random.choice([1, 2, 3, 20])), int(random.integers(1, 4))
        world, weight = random_world(random, size, classes), weights_of(random, size)
        memory = reference.remember(members(weight), options)
        compiled = InKernel(reference, options, members(weight))
        for step in range(50):
            pool = pool_of(random, size, weight)
            draws = random.random(reference.draws(options)).tolist()
            now_s = step * 0.1
            request = (int(random.integers(classes)), step, now_s, draws)
            at = reference.pick(pool, interpreted(world), memory, *request)
            assert compiled.pick(pool, *request, world=world) == at
            if reference.observe:
                answer = (int(at), now_s, float(random.random()), bool(random.random() < 0.3))
                reference.observe(interpreted(world), memory, *answer)
                compiled.observe(*answer, world=world)
            if random.random() < 0.7:
                change(random, world)
        assert compiled.memory() == listed(memory)


@every_variant
def test_a_pick_leaves_the_pool_and_the_world_as_they_are(reference: Reference, given: dict[str, Any]) -> None:
    options = reference.options.model_validate(given)
    random = np.random.default_rng(5)
    world = random_world(random, 5, 2)
    pool = pool_view([1, 0, 3, 2, 5])
    memory = reference.remember(members(pool.weight), options)
    before = contents(pool, world)
    for step in range(10):
        draws = random.random(reference.draws(options)).tolist()
        reference.pick(pool, interpreted(world), memory, 1, 0, float(step), draws)
    assert contents(pool, world) == before


def contents(pool: PoolView, world: World) -> list[bytes]:
    return [array("d", part).tobytes() for part in pool[:-1]] + [part.tobytes() for part in world]


@every_variant
def test_memory_is_a_tuple_of_numbers_and_arrays(reference: Reference, given: dict[str, Any]) -> None:
    memory = reference.remember(members([1.0, 2.0]), reference.options.model_validate(given))
    assert isinstance(memory, tuple)
    assert all(isinstance(part, int | float | array) and not isinstance(part, bool) for part in memory)


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
class TestOptions:
    def test_work_without_any_given(self, reference: Reference) -> None:
        assert reference.draws(reference.options()) >= 0

    def test_have_a_description(self, reference: Reference) -> None:
        for name, field in reference.options.model_fields.items():
            assert field.description, name

    def test_reject_unknown_names(self, reference: Reference) -> None:
        with pytest.raises(ValidationError, match="no_such_option"):
            reference.options.model_validate({"no_such_option": 1})


def test_references_are_registered_under_names_that_no_policy_has() -> None:
    assert all(name == reference.name for name, reference in REFERENCES.items())
    assert not REFERENCES.keys() & POLICIES.keys()
