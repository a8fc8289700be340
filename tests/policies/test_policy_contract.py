"""What every policy of the registry promises, in any situation."""

import os
import subprocess
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from itertools import cycle, islice
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import smartlb
from smartlb.core.view import PoolView
from smartlb.policies.policy import Policy
from smartlb.policies.registry import POLICIES
from tests.policies.pools import BELOW_ONE, members, pool_view

VARIANTS: dict[str, tuple[Policy, dict[str, Any]]] = {
    **{name: (policy, {}) for name, policy in POLICIES.items()},
    "ip_hash load_bound=1.25": (POLICIES["ip_hash"], {"load_bound": 1.25}),
    "url_hash load_bound=1": (POLICIES["url_hash"], {"load_bound": 1.0}),
    "peak_ewma decay_s=0.001": (POLICIES["peak_ewma"], {"decay_s": 0.001}),
    "least_time idle_s=1": (POLICIES["least_time"], {"idle_s": 1}),
    "learned candidates=8": (POLICIES["learned"], {"candidates": 8}),
}

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()

every_variant = pytest.mark.parametrize(("policy", "given_options"), VARIANTS.values(), ids=VARIANTS.keys())
measuring_variant = pytest.mark.parametrize(
    ("policy", "given_options"),
    [value for value in VARIANTS.values() if value[0].observe],
    ids=[name for name, value in VARIANTS.items() if value[0].observe],
)
contract = settings(deadline=None, max_examples=60, derandomize=True)

draw_values = st.one_of(st.just(0.0), st.just(BELOW_ONE), st.floats(min_value=0.0, max_value=1.0, exclude_max=True))
learned_weights = st.one_of(st.just(0.0), st.just(5e-324), st.just(1.0), st.floats(min_value=0.0, max_value=1.0))
costs = st.one_of(st.floats(min_value=0.0), st.just(0.0), st.just(float("nan")))
latencies = st.one_of(
    st.sampled_from([0.0, 5e-324, 1e-9, 1e12, 1.7e308]), st.floats(min_value=0.0, allow_infinity=False)
)


@dataclass(frozen=True)
class Request:
    """What a pick gets besides the pool and the memory, and how the request ends."""

    request_class: int
    key: int
    now_s: float
    draws: tuple[float, ...]
    latency_s: float
    failed: bool


@dataclass(frozen=True)
class Situation:
    """A pool and the requests that come to it."""

    pool: PoolView
    requests: list[Request]


@st.composite
def situations(draw: st.DrawFn, policy: Policy, options: Any) -> Situation:
    size = draw(st.sampled_from([1, 2, 3, 10, 40]))
    classes = draw(st.integers(1, 3))

    def per_backend(values: st.SearchStrategy[Any]) -> Any:
        # A few values over and over, since drawing each one would take most of the time.
        return list(islice(cycle(draw(st.lists(values, min_size=1, max_size=4))), size))

    eligible = draw(
        st.one_of(
            st.integers(0, size - 1).map(lambda only: {only}),
            st.just(set(range(size))),
            st.sets(st.integers(0, size - 1), min_size=1, max_size=6),
            st.sets(st.integers(0, size - 1), max_size=min(6, size - 1)).map(set(range(size)).difference),
        )
    )
    pool = pool_view(
        per_backend(st.integers(0, 1_000_000)),
        weight=per_backend(st.floats(min_value=0.001, max_value=8.0)),
        barred=set(range(size)) - eligible,
        learned=[per_backend(learned_weights) for _ in range(classes)],
        base_s=[per_backend(costs) for _ in range(classes)],
        slope_s=[per_backend(costs) for _ in range(classes)],
    )
    count = policy.draws(options)
    request = st.builds(
        Request,
        request_class=st.integers(0, classes - 1),
        key=st.integers(0, 2**64 - 1),
        now_s=st.floats(min_value=0.0, max_value=1e9),
        draws=st.lists(draw_values, min_size=count, max_size=count).map(tuple),
        latency_s=latencies,
        failed=st.booleans(),
    )
    return Situation(pool, draw(st.lists(request, min_size=1, max_size=4)))


def serve(policy: Policy, options: Any, situation: Situation) -> tuple[list[int], Any]:
    """Every request's backend, each observed at its end, and the memory that is left."""
    memory = policy.remember(members(situation.pool.weight), options)
    picked = []
    for request in situation.requests:
        at = policy.pick(situation.pool, memory, request.request_class, request.key, request.now_s, request.draws)
        picked.append(at)
        if policy.observe:
            policy.observe(memory, at, request.now_s, request.latency_s, request.failed)
    return picked, memory


def contents(pool: PoolView) -> list[bytes]:
    """Every bit of a pool; NaN equals itself here."""
    return [array("d", sequence).tobytes() for sequence in pool[:-1]]


def numbers(memory: Any) -> Iterator[float]:
    for part in memory:
        yield from part if isinstance(part, Iterable) else [part]


@every_variant
def test_picks_an_eligible_backend_whatever_the_situation(policy: Policy, given_options: dict[str, Any]) -> None:
    options = policy.options.model_validate(given_options)

    @contract
    @given(situations(policy, options))
    def check(situation: Situation) -> None:
        picked, _ = serve(policy, options, situation)
        assert set(picked) <= set(situation.pool.eligible)
        assert all(type(at) is int for at in picked)

    check()


@every_variant
@pytest.mark.parametrize("size", [1, 2, 10, 100])
def test_the_only_eligible_backend_is_picked(policy: Policy, given_options: dict[str, Any], size: int) -> None:
    options = policy.options.model_validate(given_options)
    for only in {0, size // 2, size - 1}:
        pool = pool_view([3] * size, barred=set(range(size)) - {only})
        memory = policy.remember(members(pool.weight), options)
        for draw in (0.0, 0.5, BELOW_ONE):
            draws = (draw,) * policy.draws(options)
            assert policy.pick(pool, memory, 0, 2**64 - 1, 1.0, draws) == only


@every_variant
def test_equal_inputs_and_memories_give_equal_picks_and_memories(policy: Policy, given_options: dict[str, Any]) -> None:
    options = policy.options.model_validate(given_options)

    @contract
    @given(situations(policy, options))
    def check(situation: Situation) -> None:
        first, memory = serve(policy, options, situation)
        second, same_memory = serve(policy, options, situation)
        assert first == second
        assert memory == same_memory

    check()


@every_variant
def test_a_pick_leaves_the_pool_as_it_is(policy: Policy, given_options: dict[str, Any]) -> None:
    options = policy.options.model_validate(given_options)

    @contract
    @given(situations(policy, options))
    def check(situation: Situation) -> None:
        before = contents(situation.pool)
        serve(policy, options, situation)
        assert contents(situation.pool) == before

    check()


@measuring_variant
def test_memory_stays_finite_whatever_the_latencies(policy: Policy, given_options: dict[str, Any]) -> None:
    options = policy.options.model_validate(given_options)
    observe = policy.observe
    assert observe is not None

    @contract
    @given(st.lists(st.tuples(st.integers(0, 2), st.floats(min_value=0.0, max_value=1e9), latencies, st.booleans())))
    def check(endings: Sequence[tuple[int, float, float, bool]]) -> None:
        memory = policy.remember(members([1.0] * 3), options)
        for backend, now_s, latency_s, failed in endings:
            observe(memory, backend, now_s, latency_s, failed)
            assert all(isfinite(number) for number in numbers(memory))

    check()


@every_variant
def test_memory_is_a_tuple_of_numbers_and_arrays(policy: Policy, given_options: dict[str, Any]) -> None:
    options = policy.options.model_validate(given_options)
    memory = policy.remember(members([1.0, 2.0]), options)
    assert isinstance(memory, tuple)
    assert all(isinstance(part, int | float | array) for part in memory)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
class TestOptions:
    def test_work_without_any_given(self, policy: Policy) -> None:
        assert policy.draws(policy.options()) >= 0

    def test_have_a_description(self, policy: Policy) -> None:
        for name, field in policy.options.model_fields.items():
            assert field.description, name

    def test_reject_unknown_names(self, policy: Policy) -> None:
        with pytest.raises(ValidationError, match="no_such_option"):
            policy.options.model_validate({"no_such_option": 1})

    def test_are_in_the_documentation(self, policy: Policy) -> None:
        row = next((line for line in PAGE.splitlines() if line.startswith(f"| `{policy.name}` ")), None)
        assert row is not None, f"docs/policies.md has no row for {policy.name}"
        for name in policy.options.model_fields:
            assert f"`{name}`" in row, f"docs/policies.md does not tell of {policy.name}'s {name}"


def test_policies_are_registered_under_their_names() -> None:
    assert all(name == policy.name for name, policy in POLICIES.items())


def test_policies_of_the_router_are_compiled() -> None:
    assert all(policy.program is not None for policy in POLICIES.values())


def test_the_documented_example_in_python_is_a_policy() -> None:
    source = PAGE.partition("```python\n")[2].partition("```")[0]
    module: dict[str, Any] = {}
    exec(compile(source, "docs/policies.md", "exec"), module)
    lightest: Policy = module["POLICY"]
    pool = pool_view([0, 9, 0], weight=[3.0, 2.0, 1.0], barred={2})
    assert lightest.pick(pool, lightest.remember(members(pool.weight), lightest.options()), 0, 0, 0.0, ()) == 1


def test_the_documented_example_in_cython_is_a_policy(tmp_path: Path) -> None:
    source = PAGE.partition("```cython\n")[2].partition("```")[0]
    (tmp_path / "lightest.pyx").write_text(source)
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "-3", "-q", str(tmp_path / "lightest.pyx")]
    root = Path(smartlb.__file__).parents[1]
    subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=True, capture_output=True)
    (library,) = tmp_path.glob("lightest.*.so")
    spec = spec_from_file_location("lightest", library)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    lightest: Policy = module.POLICY
    pool = pool_view([0, 9, 0], weight=[3.0, 2.0, 1.0], barred={2})
    assert lightest.pick(pool, lightest.remember(members(pool.weight), lightest.options()), 0, 0, 0.0, (0.9,)) == 1
    policy = lightest.made(members(pool.weight), lightest.options(), 0)
    policy.see(pool)
    assert policy.pick(0, 0, 0.0) == 1
