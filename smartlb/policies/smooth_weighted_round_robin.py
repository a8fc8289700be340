"""smooth_weighted_round_robin: each backend as often as its weight says, as evenly spread as can be.

nginx, src/http/ngx_http_upstream_round_robin.c: at each pick every eligible backend's current weight grows by
its weight; the greatest is picked, the first of equals, and its current weight falls by the sum of the
eligible weights. With weights 5, 1 and 1 that gives a a b a c a a. A barred backend keeps its current weight
for its return. nginx's lowering of a failing backend's weight is left out: ejection does that here.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Any, NamedTuple

import numpy as np

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy
from smartlb.policies.scan import VECTOR_FROM
from smartlb.policies.weight_units import weight_units

_LOWEST = np.iinfo(np.int64).min


class Memory(NamedTuple):
    """What a pick leaves for the next, in weight units.

    Attributes:
        weight: of each backend.
        current: each backend's current weight; what they were owed and not yet given.
    """

    weight: Sequence[int]
    current: MutableSequence[int]


def remember(members: Members, _options: Any) -> Memory:
    """All current weights at 0."""
    return Memory(weight_units(members.weight), array("q", bytes(8 * len(members.weight))))


def pick(pool: PoolView, memory: Memory, request_class: int, key: int, now_s: float, draws: Sequence[float]) -> int:
    """The eligible backend with the greatest current weight, the first of equals."""
    if len(pool.weight) < VECTOR_FROM:
        return pick_by_loop(pool, memory, request_class, key, now_s, draws)
    return pick_by_numpy(pool, memory, request_class, key, now_s, draws)


def pick_by_loop(
    pool: PoolView, memory: Memory, _request_class: int, _key: int, _now_s: float, _draws: Sequence[float]
) -> int:
    """`pick`, one backend after the other."""
    weight, current = memory
    best = -1
    greatest = total = 0
    for at in pool.eligible:
        total += weight[at]
        value = current[at] + weight[at]
        current[at] = value
        if best < 0 or value > greatest:
            best, greatest = at, value
    current[best] -= total
    return best


def pick_by_numpy(
    pool: PoolView, memory: Memory, _request_class: int, _key: int, _now_s: float, _draws: Sequence[float]
) -> int:
    """`pick`, all backends at once."""
    weight: Any = np.frombuffer(memory.weight, dtype=np.int64)  # type: ignore[call-overload]
    current: Any = np.frombuffer(memory.current, dtype=np.int64)  # type: ignore[call-overload]
    if len(pool.eligible) == len(weight):
        current += weight
        best = int(current.argmax())
    else:
        free = np.frombuffer(pool.barred, dtype=np.float64) == 0.0  # type: ignore[call-overload]
        weight = weight * free
        current += weight
        best = int(np.where(free, current, _LOWEST).argmax())
    current[best] -= np.add.reduce(weight)
    return best


POLICY = Policy(name="smooth_weighted_round_robin", pick=pick, remember=remember, keeps=("current",))
