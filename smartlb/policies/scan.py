"""The lowest score of a whole pool: a loop for few backends, numpy for many.

A policy that scans gives one formula, made of arithmetic only, that holds for numbers and for arrays alike.
Ties go to the first backend at or after a random start, so that equals share the traffic.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from smartlb.core.view import PoolView

Score = Callable[[Any, Any, Any], Any]
"""``score(in_flight, weight, cost)``: lower is better; ``cost`` is what the policy remembers per backend."""

VECTOR_FROM = 32
"""From how many backends numpy is faster than a loop; see benchmarks/pick.py."""


def lowest(pool: PoolView, score: Score, cost: Any, draw: float) -> int:
    """The eligible backend with the lowest score.

    Args:
        pool: what to choose from.
        score: the formula.
        cost: a sequence with one number per backend, passed to the formula.
        draw: a uniform random number that says where the scan begins.
    """
    if len(pool.weight) < VECTOR_FROM:
        return lowest_by_loop(pool, score, cost, draw)
    return lowest_by_numpy(pool, score, cost, draw)


def lowest_by_loop(pool: PoolView, score: Score, cost: Any, draw: float) -> int:
    """`lowest`, one backend after the other."""
    eligible, in_flight, weight = pool.eligible, pool.in_flight, pool.weight
    count = len(eligible)
    start = int(draw * count)
    best = eligible[start]
    least = score(in_flight[best], weight[best], cost[best])
    for step in range(start + 1, start + count):
        at = eligible[step - count if step >= count else step]
        value = score(in_flight[at], weight[at], cost[at])
        if value < least:
            best, least = at, value
    return best


def lowest_by_numpy(pool: PoolView, score: Score, cost: Any, draw: float) -> int:
    """`lowest`, all backends at once; the sequences are buffers, `cost` of float64."""
    values = score(
        np.frombuffer(pool.in_flight, dtype=np.int32),  # type: ignore[call-overload]
        np.frombuffer(pool.weight, dtype=np.float64),  # type: ignore[call-overload]
        np.frombuffer(cost, dtype=np.float64),
    ) + np.frombuffer(pool.barred, dtype=np.float64)  # type: ignore[call-overload]
    start = pool.eligible[int(draw * len(pool.eligible))]
    after = start + int(values[start:].argmin())
    if start == 0:
        return after
    before = int(values[:start].argmin())
    return before if values[before] < values[after] else after
