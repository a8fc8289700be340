"""learned: candidates by learned weight, then the lowest predicted cost at the present load.

The weights hold the slow truth (capacity, proneness to errors, affinity of a class to a backend), the
in-flight counts the fast one. Drawing few candidates rather than taking the best of all keeps routers that
share the model but not their counts from herding; see docs/learning.md.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from smartlb.core.pool import PoolView
from smartlb.policies.policy import Policy, PolicyOptions


class Options(PolicyOptions):
    """Options of the learned policy."""

    candidates: int = Field(default=3, ge=1, le=8, description="How many backends are drawn by learned weight.")


def pick(pool: PoolView, _memory: Any, request_class: int, _key: int, _now_s: float, draws: Sequence[float]) -> int:
    """Draw a candidate for each of `draws`; the cheapest wins, the first drawn on ties."""
    size = len(pool.weight)
    row = request_class * size
    total = pool.draw[row + size - 1]
    # The last that can be drawn; beyond it rounding, or a row without any weight, would lead to a barred one.
    last = row + pool.eligible[len(pool.eligible) - 1]
    best = -1
    lowest = 0.0
    for draw in draws:
        at = bisect_right(pool.draw, draw * total, row, last)
        cost = pool.base_s[at] + pool.slope_s[at] * pool.in_flight[at - row]
        if best < 0 or cost < lowest:
            best, lowest = at - row, cost
    return best


POLICY = Policy(name="learned", pick=pick, options=Options, draws=lambda options: options.candidates)
