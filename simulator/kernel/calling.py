"""Makes a policy callable by the kernel: compiled, under one signature for all policies.

What a policy remembers has a shape of its own; here it becomes a row of bytes, one for each router, and `layout` says
where each of its parts begins.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from simulator.kernel.compiling import callback, digest, from_source
from simulator.kernel.router import Routing
from simulator.kernel.state import Array, empty_world
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy

_DTYPES = {"i": "int32", "q": "int64", "d": "float64", "Q": "uint64"}


def _flat(dtype: Any) -> Any:
    return types.Array(dtype, 1, "C")


_VIEW: Any = types.NamedTuple(  # type: ignore[no-untyped-call]
    [_flat(numba.int32), _flat(numba.float64), _flat(numba.int32), *[_flat(numba.float64)] * 5, numba.float64], PoolView
)
_WORLD: Any = numba.typeof(empty_world())  # type: ignore[no-untyped-call]
_MEMORY = (_flat(numba.uint8), _flat(numba.int64))
_ASKED = (*_MEMORY, numba.int64, numba.uint64, numba.float64, _flat(numba.float64))
_TOLD = (*_MEMORY, numba.int64, numba.float64, numba.float64, numba.boolean)
_PICK, _PICK_KNOWING = numba.int64(_VIEW, *_ASKED), numba.int64(_VIEW, _WORLD, *_ASKED)
_OBSERVE, _OBSERVE_KNOWING = numba.void(*_TOLD), numba.void(_WORLD, *_TOLD)


def prepare(policy: Policy | Reference, options: Any, members: Members, routers: int) -> Routing:
    """Compile a policy and lay out what each of `routers` remembers; the pool is empty yet."""
    remembered = policy.remember(members, options)
    row, layout = flatten(remembered)
    knows = isinstance(policy, Reference)
    pick, observe = _compiled(policy.name, policy.pick, policy.observe, _Shape.of(remembered), knows)
    no_pick, no_observe = _compiled("nobody", _no_pick, None, _Shape(tuple, ()), not knows)
    return Routing(
        pick=no_pick if knows else pick,
        observe=no_observe if knows else observe,
        pick_knowing=pick if knows else no_pick,
        observe_knowing=observe if knows else no_observe,
        knows=knows,
        observes=policy.observe is not None,
        pool=_empty_pool(),
        memory=np.tile(row, (routers, 1)),
        layout=layout,
        drawn=policy.draws(options),
    )


def _empty_pool() -> PoolView:
    parts: list[Any] = [np.zeros(0, dtype) for dtype in ("i4", "f8", "i4", *["f8"] * 5)]
    return PoolView(*parts)


def _no_pick(*_arguments: Any) -> int:
    return 0


def flatten(remembered: Any) -> tuple[Array, Array]:
    """A memory as bytes, and where its parts begin and end."""
    parts = [
        np.frombuffer(part, dtype=np.uint8) if isinstance(part, array) else np.array([part]).view(np.uint8)
        for part in remembered
    ]
    padded = [np.concatenate((part, np.zeros(-len(part) % 8, np.uint8))) for part in parts]
    layout = np.cumsum([0, *(len(part) for part in padded)]).astype(np.int64)
    return np.concatenate(padded) if padded else np.zeros(0, np.uint8), layout


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a memory: its class, and of each part the type and whether it is an array."""

    kind: type
    parts: tuple[tuple[str, bool], ...]

    @classmethod
    def of(cls, remembered: Any) -> "_Shape":
        parts = tuple(
            (_DTYPES[part.typecode], True) if isinstance(part, array) else (np.array([part]).dtype.name, False)
            for part in remembered
        )
        return cls(type(remembered), parts)

    def expression(self) -> str:
        """Source that makes the memory again, from `memory` and `layout`."""
        parts = [
            f"memory[layout[{at}] : layout[{at + 1}]].view({dtype}){'' if many else '[0]'}"
            for at, (dtype, many) in enumerate(self.parts)
        ]
        return f"{'' if self.kind is tuple else 'Memory'}({', '.join(parts)}{',' if len(parts) == 1 else ''})"


@cache
def _compiled(
    name: str, pick: Callable[..., int], observe: Callable[..., None] | None, shape: _Shape, knows_world: bool
) -> tuple[Any, ...]:
    world = "world, " if knows_world else ""
    signatures = (_PICK_KNOWING, _OBSERVE_KNOWING) if knows_world else (_PICK, _OBSERVE)
    # Made from text, as numba has no way to build tuples whose parts differ in type from policy to policy.
    source = f"""
def pick_call(view, {world}memory, layout, request_class, key, now_s, draws):
    return pick(view, {world}{shape.expression()}, request_class, key, now_s, draws)

def observe_call({world}memory, layout, backend, now_s, latency_s, failed):
    {f"observe({world}{shape.expression()}, backend, now_s, latency_s, failed)" if observe else "pass"}
"""
    scope: dict[str, Any] = {
        "__name__": __name__,
        "Memory": shape.kind,
        "pick": from_source(pick),
        "observe": from_source(observe) if observe else None,
        **{dtype: getattr(np, dtype) for dtype, _ in shape.parts},
    }
    made = f"{digest(pick)}.{digest(observe) if observe else ''}"
    exec(compile(source, __file__, "exec"), scope)
    return tuple(
        callback(signature, scope[call], f"{name}.{made}{'.knowing' if knows_world else ''}")
        for signature, call in zip(signatures, ("pick_call", "observe_call"), strict=True)
    )
