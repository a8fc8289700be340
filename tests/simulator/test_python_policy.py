"""Policies in Python are compiled as they are; and what that relies on in numba holds for the installed version."""

import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from simulator.kernel import python_policy
from simulator.kernel.compiling import HOW, INNER, cache_folder, caching
from simulator.kernel.machine_code import MachineCode
from simulator.kernel.python_policy import digest
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy, PolicyOptions
from tests.policies.pools import pool_view
from tests.simulator.kernel_calls import InKernel

POLICY = """
from smartlb.policies.policy import Policy

FIRST = {first}

def choose(pool):
    return pool.eligible[0] if FIRST else pool.eligible[len(pool.eligible) - 1]

def pick(pool, _memory, _request_class, _key, _now_s, _draws):
    return choose(pool)

POLICY = Policy(name="mine", pick=pick)
"""

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import mine
from simulator.contenders import Contender
from simulator.plan import plan
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.streams import streams
from simulator.workload.workload import prepare
from tests.simulator.scenarios import scenario

given = Scenario.model_validate(scenario())
demand = prepare(given.workload, None, streams(0))
run = simulate(plan("test", given, demand, 0), Contender("mine", mine.POLICY, mine.POLICY.options(), False))
print(*sorted(set(run.log["backend"].tolist())))
"""


def picked(folder: Path, first: bool) -> str:
    (folder / "mine.py").write_text(POLICY.format(first=first))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_policy_that_changed_and_kept_its_name_is_compiled_anew(tmp_path: Path) -> None:
    assert picked(tmp_path, first=True) == "0"
    assert picked(tmp_path, first=False) == "1"


def inner(x: int) -> int:
    return x + 1


def outer(x: int) -> int:
    return inner(x)


def test_the_digest_sees_what_a_function_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(outer)
    digest.cache_clear()
    assert digest(outer) == before
    digest.cache_clear()
    monkeypatch.setitem(globals(), "inner", lambda x: x + 2)
    assert digest(outer) != before
    digest.cache_clear()


class Mixed(NamedTuple):
    """A memory with a part of every type there may be."""

    whole: Any
    small: Any
    real: Any
    large: Any
    factor: float
    extra: int


def remember_mixed(members: Members, _options: PolicyOptions) -> Mixed:
    size = len(members.names)
    return Mixed(array("q", [1] * size), array("i", [2] * 3), array("d", [0.5] * size), array("Q", [2**63]), 1.5, 7)


def twice(value: float) -> float:
    return value * 2.0


def pick_mixed(pool: PoolView, memory: Mixed, request_class: int, key: int, now_s: float, draws: Any) -> int:
    memory.real[request_class] += twice(now_s) + draws[0]
    memory.whole[0] += memory.extra
    memory.small[2] = len(memory.small)
    memory.large[0] += key
    return pool.eligible[int(memory.factor)]


def observe_mixed(memory: Mixed, backend: int, _now_s: float, latency_s: float, failed: bool) -> None:
    memory.real[backend] = -latency_s if failed else latency_s


MIXED = Policy("mixed", pick_mixed, remember=remember_mixed, observe=observe_mixed, draws=lambda _options: 1)


def test_a_memory_of_any_form_is_made_again_from_bytes() -> None:
    names = Members(["a", "b", "c"], [1.0] * 3)
    kernel = InKernel(MIXED, PolicyOptions(), names)
    assert kernel.pick(pool_view([0] * 3, barred={0}), 2, 5, 1.25, (0.25,)) == 2
    kernel.observe(0, 1.0, 0.125, True)
    assert kernel.memory() == [[8, 1, 1], [2, 2, 3], [-0.125, 0.5, 0.5 + 2.75], [2**63 + 5], 1.5, 7]


def test_a_policy_may_remember_nothing_or_parts_without_names() -> None:
    def first(pool: PoolView, memory: Any, _class: int, _key: int, _now_s: float, _draws: Any) -> int:
        return pool.eligible[int(memory[0][0])]

    def last(pool: PoolView, _memory: Any, _class: int, _key: int, _now_s: float, _draws: Any) -> int:
        return pool.eligible[len(pool.eligible) - 1]

    names = Members(["a", "b"], [1.0] * 2)
    unnamed = Policy("unnamed", first, remember=lambda _members, _options: (array("q", [1]),))
    assert InKernel(unnamed, PolicyOptions(), names).pick(pool_view([0] * 2), 0, 0, 0.0, ()) == 1
    assert InKernel(Policy("last", last), PolicyOptions(), names).pick(pool_view([0] * 2), 0, 0, 0.0, ()) == 1


class TestNumba:
    """Each thing that `simulator.kernel` relies on, by itself."""

    def test_a_copy_of_a_function_is_compiled_with_the_globals_it_was_given(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = python_policy._with_jitable_globals(outer)
        monkeypatch.setitem(globals(), "inner", None)
        assert numba.njit(**INNER)(copy)(1) == 2

    def test_it_takes_the_options(self) -> None:
        made = numba.njit(**INNER)(inner)
        assert made(1) == 2
        options = made.targetoptions
        assert (options["_nrt"], options["forceinline"], options["error_model"]) == (False, True, "numpy")

    def test_it_finds_a_file_for_generated_code_and_keeps_it_in_our_folder(self) -> None:
        scope: dict[str, Any] = {"__name__": python_policy.__name__}
        exec(compile("def generated(x):\n    return x + 3\n", python_policy.__file__, "exec"), scope)
        function = scope["generated"]
        function.__qualname__ += ".of_a_test"
        with caching():
            made = numba.cfunc(numba.int64(numba.int64), **HOW)(function)
        assert made.ctypes(4) == 7
        assert any("of_a_test" in path.name for path in cache_folder().rglob("*.nbi"))

    def test_it_calls_a_function_at_an_address(self) -> None:
        owner = numba.cfunc(numba.int32(numba.uintp, numba.float64))(lambda address, value: address + int(value))
        code = MachineCode(int(owner.address or 0), numba.int32(numba.uintp, numba.float64), owner)

        @numba.njit
        def call(function: Any, values: Any) -> Any:
            return function(np.uint64(40), values[0])

        assert call(code, np.array([2.0])) == 42

    def test_one_of_a_type_may_stand_where_none_is_called(self) -> None:
        signature = numba.int32(numba.uintp)
        owner = numba.cfunc(signature)(lambda _address: 7)

        @numba.njit
        def call(function: Any, called: bool) -> Any:
            return function(np.uint64(1)) if called else 0

        assert call(MachineCode.none(signature), False) == 0
        assert call(owner, True) == 7
        assert len(call.signatures) == 1, "it has the type of a compiled function"

    def test_the_address_of_an_array_is_where_its_numbers_begin(self) -> None:
        @numba.njit(**INNER)  # type: ignore[untyped-decorator]
        def address(values: Any) -> Any:
            return values.ctypes.data

        values = np.arange(4.0)
        assert address(values) == values.ctypes.data
        assert address(values[2:]) == values.ctypes.data + 16
