"""learned: the lowest predicted cost at the present load, by what the learner publishes.

The learner's costs hold the slow truth (speed, proneness to errors, affinity of a class to a backend), the in-flight
counts the fast one. Routers that share the model but not their counts would all choose the same; they divide their
requests by learned weight instead, see `smartlb.policies.apart`. Now and then a request goes where nothing was learned
for a while; see docs/learning.md.
"""

from array import array
from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from smartlb.core.view import PoolView
from smartlb.policies.apart import UNDECIDED, pick_apart
from smartlb.policies.experience import ALL, FAILING, FEW, answered, expect, present
from smartlb.policies.policy import Members, Policy, PolicyOptions
from smartlb.policies.scan import VECTOR_FROM


class Options(PolicyOptions):
    """Options of the learned policy."""

    candidates: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many backends are drawn by learned weight and compared; 0 compares all. Routers that see less "
        "than half of the requests in flight do not compare costs, and pay no regard to this.",
    )


HALF = 0.5
"""A router that sees less than this share of what is in flight does not choose the cheapest: others would all choose
the same one at the same time."""

MOST_FAILURES = 1000
"""More failures in a row make no difference."""


class Memory(NamedTuple):
    """What a router notices between two snapshots.

    Attributes:
        candidates: the option.
        failures: how many requests in a row failed at each backend, up to now.
        expected_s: latency that the model expects of what goes to each backend; 0.0 where nothing did.
        slowness: how many times as long the latest answers took, against those of all backends.
        factor: what that makes of the cost, unless failures do; 1.0 where it is not clear.
        seen_s: when the latest of them came.
        usual: one number; how many times as long as expected answers take over all backends.
        preference: one number from 0 to 1, of a router that sees little; see `smartlb.policies.apart`.
    """

    candidates: int
    failures: MutableSequence[int]
    expected_s: MutableSequence[float]
    slowness: MutableSequence[float]
    factor: MutableSequence[float]
    seen_s: MutableSequence[float]
    usual: MutableSequence[float]
    preference: MutableSequence[float]


def remember(members: Members, options: Options) -> Memory:
    """Nothing has failed, and nothing is slower than expected."""
    size = len(members.names)
    zeros = bytes(8 * size)
    return Memory(
        options.candidates,
        array("q", zeros),
        array("d", zeros),
        array("d", [1.0] * size),
        array("d", [1.0] * size),
        array("d", zeros),
        array("d", [1.0]),
        array("d", [UNDECIDED]),
    )


def pick(pool: PoolView, memory: Memory, request_class: int, key: int, now_s: float, draws: Sequence[float]) -> int:
    """The cheapest of all or of the drawn; the first draw says whether the request explores instead."""
    if len(pool.weight) < VECTOR_FROM or memory.candidates or pool.sight < HALF:
        return pick_by_loop(pool, memory, request_class, key, now_s, draws)
    return pick_by_numpy(pool, memory, request_class, key, now_s, draws)


def pick_by_loop(
    pool: PoolView, memory: Memory, request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """`pick`, one backend after the other."""
    # Taken apart at once, which is faster than by name: each request passes here.
    eligible, _barred, in_flight, weight, draw, explore, base_s, slope_s, sight = pool
    size = len(weight)
    row = request_class * size
    # The last that can be drawn; beyond it rounding, or a row without any weight, would lead to a barred one.
    last = row + eligible[len(eligible) - 1]
    if draws[0] < explore[row + size - 1]:
        return bisect_right(explore, draws[0], row, last) - row
    if sight < HALF:
        return pick_apart(pool, memory, request_class, now_s, draws[1])
    candidates, _failures, _expected_s, _slowness, factor, _seen_s, _usual, _preference = memory
    best, lowest = -1, inf
    if candidates:
        total = draw[row + size - 1]
        for turn in range(1, 1 + candidates):
            at = bisect_right(draw, draws[turn] * total, row, last) - row
            cost = base_s[row + at] + slope_s[row + at] * in_flight[at]
            if factor[at] != 1.0:
                cost *= present(memory, at, now_s, ALL)
            if best < 0 or cost < lowest:
                best = at
                lowest = cost if cost < lowest else lowest
    else:
        # Of equals the first at or after a random one, going round.
        start = eligible[int(draws[1] * len(eligible))]
        for at in eligible:
            cost = base_s[row + at] + slope_s[row + at] * in_flight[at]
            if factor[at] != 1.0:
                cost *= present(memory, at, now_s, ALL)
            if cost < lowest or (best < start <= at and cost == lowest):
                best, lowest = at, cost
        best = best if lowest < inf else start
    expect(memory, best, base_s[row + best] + slope_s[row + best] * in_flight[best])
    return best


def pick_by_numpy(
    pool: PoolView, memory: Memory, request_class: int, _key: int, now_s: float, draws: Sequence[float]
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
    factor: Any = np.frombuffer(memory.factor, dtype=np.float64)  # type: ignore[call-overload]
    barred: Any = np.frombuffer(pool.barred, dtype=np.float64)  # type: ignore[call-overload]
    with np.errstate(over="ignore", invalid="ignore"):
        cost = base_s[own] + slope_s[own] * in_flight
        for at in (factor != 1.0).nonzero()[0].tolist():
            cost[at] *= present(memory, at, now_s, ALL)
        cost += barred
    # What is no number is never less, in the loop; here it would win.
    cost[np.isnan(cost)] = np.inf
    start = pool.eligible[int(draws[1] * len(pool.eligible))]
    after = start + int(cost[start:].argmin())
    best = after
    if start > 0:
        before = int(cost[:start].argmin())
        best = before if cost[before] < cost[after] else after
    best = best if cost[best] < np.inf else start
    expect(memory, best, pool.base_s[row + best] + pool.slope_s[row + best] * pool.in_flight[best])
    return best


def observe(memory: Memory, backend: int, now_s: float, latency_s: float, failed: bool) -> None:
    """Count failures in a row: each makes the backend as much dearer as it was, until the learner knows.

    A backend that fails at once never has anything in flight, and would draw all traffic until the next snapshot.
    """
    failures = memory.failures
    if failed:
        failures[backend] = min(failures[backend] + 1, MOST_FAILURES)
        memory.factor[backend] = FAILING
    else:
        failures[backend] = 0
        answered(memory, backend, now_s, latency_s, ALL if memory.preference[0] == UNDECIDED else FEW)


POLICY = Policy(
    name="learned",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda options: 1 + (options.candidates or 1),
    observe=observe,
    keeps=("failures", "expected_s", "slowness", "factor", "seen_s", "usual", "preference"),
)
