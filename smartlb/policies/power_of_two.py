"""power_of_two: two distinct backends at random, the one with fewer requests per weight.

M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
"""

from collections.abc import Sequence
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.pair import pair
from smartlb.policies.policy import Policy


def pick(pool: PoolView, _memory: Any, _request_class: int, _key: int, _now_s: float, draws: Sequence[float]) -> int:
    """The less loaded of two uniform draws; the first drawn on ties."""
    first, second = pair(pool.eligible, draws)
    in_flight, weight = pool.in_flight, pool.weight
    if (in_flight[second] + 1) / weight[second] < (in_flight[first] + 1) / weight[first]:
        return second
    return first


POLICY = Policy(name="power_of_two", pick=pick, draws=lambda _options: 2)
