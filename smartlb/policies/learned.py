"""learned: the lowest predicted cost at the present load, by what the learner publishes.

The learner's costs hold the slow truth (speed, proneness to errors, affinity of a class to a backend), the in-flight
counts the fast one. Routers that share the model but not their counts would all choose the same; they compare only a
few backends, drawn by learned weight. Now and then a request goes where nothing was learned for a while; see
docs/learning.md.
"""

from array import array
from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from smartlb.core.pool import PoolView
from smartlb.policies.policy import Members, Policy, PolicyOptions
from smartlb.policies.scan import VECTOR_FROM


class Options(PolicyOptions):
    """Options of the learned policy."""

    candidates: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many backends are drawn by learned weight and compared; 0 compares all, or two where the "
        "learner finds that the router sees less than half of the requests in flight.",
    )


HALF = 0.5
"""A router that sees less than this share of what is in flight compares only backends that it has drawn: others would
all choose the same one at the same time."""

MOST_FAILURES = 1000
"""More failures in a row make no difference."""

FEW = 2
"""How many it then draws."""


class Memory(NamedTuple):
    """What a router notices between two snapshots.

    Attributes:
        candidates: the option.
        failures: how many requests in a row failed at each backend, up to now.
    """

    candidates: int
    failures: MutableSequence[int]


def remember(members: Members, options: Options) -> Memory:
    """Nothing has failed."""
    return Memory(options.candidates, array("q", bytes(8 * len(members.names))))


def pick(pool: PoolView, memory: Memory, request_class: int, key: int, now_s: float, draws: Sequence[float]) -> int:
    """The cheapest of all or of the drawn; the first draw says whether the request explores instead."""
    if memory.candidates or len(pool.weight) < VECTOR_FROM or pool.sight < HALF:
        return pick_by_loop(pool, memory, request_class, key, now_s, draws)
    return pick_by_numpy(pool, memory, request_class, key, now_s, draws)


def pick_by_loop(
    pool: PoolView, memory: Memory, request_class: int, _key: int, _now_s: float, draws: Sequence[float]
) -> int:
    """`pick`, one backend after the other."""
    eligible = pool.eligible
    size = len(pool.weight)
    row = request_class * size
    # The last that can be drawn; beyond it rounding, or a row without any weight, would lead to a barred one.
    last = row + eligible[len(eligible) - 1]
    if draws[0] < pool.explore[row + size - 1]:
        return bisect_right(pool.explore, draws[0], row, last) - row
    best, lowest = -1, inf
    candidates, failures = memory
    if candidates == 0 and pool.sight < HALF:
        candidates = FEW
    if candidates:
        total = pool.draw[row + size - 1]
        for turn in range(1, 1 + candidates):
            at = bisect_right(pool.draw, draws[turn] * total, row, last) - row
            cost = (pool.base_s[row + at] + pool.slope_s[row + at] * pool.in_flight[at]) * (1 + failures[at])
            if best < 0 or cost < lowest:
                best = at
                lowest = cost if cost < lowest else lowest
        return best
    in_flight, base_s, slope_s = pool.in_flight, pool.base_s, pool.slope_s
    count = len(eligible)
    start = int(draws[1] * count)
    for step in range(start, start + count):
        at = eligible[step - count if step >= count else step]
        cost = (base_s[row + at] + slope_s[row + at] * in_flight[at]) * (1 + failures[at])
        if best < 0 or cost < lowest:
            best = at
            lowest = cost if cost < lowest else lowest
    return best


def pick_by_numpy(
    pool: PoolView, memory: Memory, request_class: int, _key: int, _now_s: float, draws: Sequence[float]
) -> int:
    """`pick` among all backends at once."""
    size = len(pool.weight)
    row = request_class * size
    if draws[0] < pool.explore[row + size - 1]:
        return bisect_right(pool.explore, draws[0], row, row + pool.eligible[len(pool.eligible) - 1]) - row
    own = slice(row, row + size)
    base_s: Any = np.frombuffer(pool.base_s, dtype=np.float64)  # type: ignore[call-overload]
    slope_s: Any = np.frombuffer(pool.slope_s, dtype=np.float64)  # type: ignore[call-overload]
    in_flight: Any = np.frombuffer(pool.in_flight, dtype=np.int32)  # type: ignore[call-overload]
    failures: Any = np.frombuffer(memory.failures, dtype=np.int64)  # type: ignore[call-overload]
    barred: Any = np.frombuffer(pool.barred, dtype=np.float64)  # type: ignore[call-overload]
    with np.errstate(over="ignore", invalid="ignore"):
        cost = (base_s[own] + slope_s[own] * in_flight) * (1 + failures) + barred
    # What is no number is never less, in the loop; here it would win.
    cost[np.isnan(cost)] = np.inf
    start = pool.eligible[int(draws[1] * len(pool.eligible))]
    after = start + int(cost[start:].argmin())
    best = after
    if start > 0:
        before = int(cost[:start].argmin())
        best = before if cost[before] < cost[after] else after
    return best if cost[best] < np.inf else start


def observe(memory: Memory, backend: int, _now_s: float, _latency_s: float, failed: bool) -> None:
    """Count failures in a row: each makes the backend as much dearer as it was, until the learner knows.

    A backend that fails at once never has anything in flight, and would draw all traffic until the next snapshot.
    """
    if failed:
        memory.failures[backend] = min(memory.failures[backend] + 1, MOST_FAILURES)
    else:
        memory.failures[backend] = 0


POLICY = Policy(
    name="learned",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda options: 1 + (options.candidates or FEW),
    observe=observe,
)
