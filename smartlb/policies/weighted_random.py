"""random: any eligible backend, with a probability proportional to its configured weight.

Inverse transform sampling over the weights' running sums; what falls on a barred backend is drawn again.
After a few misses (most of the pool is barred) the eligible weights are summed instead, so the probabilities
are exact in any case.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy

_TRIES = 3


def remember(members: Members, _options: Any) -> tuple[Sequence[float]]:
    """The running sums of the weights."""
    return (array("d", accumulate(members.weight)),)


def pick(
    pool: PoolView,
    memory: tuple[Sequence[float]],
    _request_class: int,
    _key: int,
    _now_s: float,
    draws: Sequence[float],
) -> int:
    """The backend that a draw falls on; the last draw is for the sum over the eligible ones."""
    sums = memory[0]
    last = len(sums) - 1
    for turn in range(_TRIES):
        at = bisect_right(sums, draws[turn] * sums[last], 0, last)
        if pool.barred[at] == 0.0:
            return at
    return _among_eligible(pool, draws[_TRIES])


def _among_eligible(pool: PoolView, draw: float) -> int:
    eligible, weight = pool.eligible, pool.weight
    total = 0.0
    for at in eligible:
        total += weight[at]
    left = draw * total
    for at in eligible:
        left -= weight[at]
        if left < 0.0:
            return at
    return eligible[len(eligible) - 1]


POLICY = Policy(name="random", pick=pick, remember=remember, draws=lambda _options: _TRIES + 1)
