"""Compiles references, and policies that are being tried, from their Python source, under one signature for all.

They are plain functions that know nothing of numba, so that tests and a debugger run them as they are. All that numba
offers no way for is in this file. It relies on the following, which `tests/simulator/test_python_policy.py` tests by
itself, so that a version of numba that breaks one of these says so:

- A function whose globals were replaced is compiled with the new ones: `_with_jitable_globals` copies a function, and
  in the copy the functions that it calls are copies that numba compiles wherever they are called or handed on.
- The cache on disk goes by a function's qualified name and by the file of its code, and does not look at what it calls.
  So a copy's name ends in a digest of its source with all that it calls, and generated code says it is of this file.
- A memory is a tuple whose parts differ in number and type from policy to policy, and numba has no way to make one from
  bytes but an expression in source: `_expression` writes it, `_calls` has Python make functions of it.
- Compiled functions that are handed to compiled code as arguments have their types in a signature, and are called
  without reference counts.
"""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import register_jitable

from simulator.kernel.compiling import HOW, INNER, caching
from simulator.kernel.state import empty_world
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Policy

_DTYPES = {"i": "int32", "q": "int64", "d": "float64", "Q": "uint64"}

VIEW_TYPES = {name: "int32" if name in ("eligible", "in_flight") else "float64" for name in PoolView._fields}
"""Of the numbers of a `PoolView`, in its order."""


def _flat(dtype: str) -> Any:
    return types.Array(getattr(numba, dtype), 1, "C")


_VIEW: Any = types.NamedTuple(  # type: ignore[no-untyped-call]
    [numba.float64 if name == "sight" else _flat(dtype) for name, dtype in VIEW_TYPES.items()], PoolView
)
_WORLD: Any = numba.typeof(empty_world())  # type: ignore[no-untyped-call]
_MEMORY = (_flat("uint8"), _flat("int64"))

PICK: Any = numba.int64(_VIEW, _WORLD, *_MEMORY, numba.int64, numba.uint64, numba.float64, _flat("float64"))
"""``pick(view, world, memory, layout, request_class, key, now_s, draws)``."""

OBSERVE: Any = numba.void(_WORLD, *_MEMORY, numba.int64, numba.float64, numba.float64, numba.boolean)
"""``observe(world, memory, layout, backend, now_s, latency_s, failed)``."""


def compile_policy(policy: Policy | Reference, remembered: Any) -> tuple[Any, Any]:
    """A policy's `pick` and `observe` by the signatures `PICK` and `OBSERVE`.

    Args:
        policy: in Python; one that does not measure gets an `observe` that does nothing.
        remembered: a memory of it, of whose form all others are.
    """
    knows = isinstance(policy, Reference)
    return _calls(policy.name, policy.pick, policy.observe, _Form.of(remembered), knows)


@dataclass(frozen=True, slots=True)
class _Form:
    """Of a memory: its class, and of each part the type and whether it is an array."""

    kind: type
    parts: tuple[tuple[str, bool], ...]

    @classmethod
    def of(cls, remembered: Any) -> "_Form":
        parts = tuple(
            (_DTYPES[part.typecode], True) if isinstance(part, array) else (np.array([part]).dtype.name, False)
            for part in remembered
        )
        return cls(type(remembered), parts)


def _expression(form: _Form) -> str:
    """Source that makes a memory again, from `memory` and `layout`."""
    parts = [
        f"memory[layout[{2 * at}] : layout[{2 * at + 1}]].view({dtype}){'' if many else '[0]'}"
        for at, (dtype, many) in enumerate(form.parts)
    ]
    return f"{'' if form.kind is tuple else 'Memory'}({', '.join(parts)}{',' if len(parts) == 1 else ''})"


@cache
def _calls(
    name: str, pick: Callable[..., int], observe: Callable[..., None] | None, form: _Form, knows_world: bool
) -> tuple[Any, Any]:
    world = "world, " if knows_world else ""
    remembered = _expression(form)
    source = f"""
def pick_call(view, world, memory, layout, request_class, key, now_s, draws):
    return pick(view, {world}{remembered}, request_class, key, now_s, draws)

def observe_call(world, memory, layout, backend, now_s, latency_s, failed):
    {f"observe({world}{remembered}, backend, now_s, latency_s, failed)" if observe else "pass"}
"""
    scope: dict[str, Any] = {
        "__name__": __name__,
        "Memory": form.kind,
        "pick": _compiled_whole(pick),
        "observe": _compiled_whole(observe) if observe else None,
        **{dtype: getattr(np, dtype) for dtype, _ in form.parts},
    }
    exec(compile(source, __file__, "exec"), scope)
    made = f"{name}.{digest(pick)}.{digest(observe) if observe else ''}"
    return _callback(PICK, scope["pick_call"], made), _callback(OBSERVE, scope["observe_call"], made)


def _callback(signature: Any, function: Any, name: str) -> Any:
    function.__qualname__ += f".{name}"
    with caching():
        return numba.cfunc(signature, **HOW)(function)


@cache
def _compiled_whole(function: Callable[..., Any]) -> Any:
    """A function compiled together with all functions that it calls."""
    with caching():
        return numba.njit(**HOW)(_with_jitable_globals(function))


@cache
def _with_jitable_globals(function: Callable[..., Any]) -> Any:
    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        value = scope.get(name)
        if isinstance(value, FunctionType):
            scope[name] = register_jitable(**INNER)(_with_jitable_globals(value))
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, f"{function.__qualname__}.{digest(function)}"
    return copy


@cache
def digest(function: Callable[..., Any]) -> str:
    """Tells a function, with all that it calls, from others of the same name."""
    assert isinstance(function, FunctionType)
    code = function.__code__
    found = hashlib.sha256(repr((code.co_code, code.co_consts, code.co_names, function.__defaults__)).encode())
    for name in code.co_names:
        value = function.__globals__.get(name)
        said = digest(value) if isinstance(value, FunctionType) else _fixed(value)
        found.update(said.encode())
    return found.hexdigest()[:16]


def _fixed(value: Any) -> str:
    """A global constant of a function, which is compiled into it."""
    return repr(value) if isinstance(value, int | float | str | tuple | None) else type(value).__name__
