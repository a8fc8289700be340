"""weighted_least_connections: the shortest expected delay, (in flight + 1) / weight.

LVS SED, Linux net/netfilter/ipvs/ip_vs_sed.c. It is also what the learned policy falls back to when its
snapshot is stale.
"""

from collections.abc import Sequence
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Policy
from smartlb.policies.scan import lowest


def score(in_flight: Any, weight: Any, _cost: Any) -> Any:
    """Requests per weight if one more came."""
    return (in_flight + 1) / weight


def pick(pool: PoolView, _memory: Any, _request_class: int, _key: int, _now_s: float, draws: Sequence[float]) -> int:
    """The eligible backend with the shortest expected delay; ties by random start."""
    return lowest(pool, score, pool.weight, draws[0])


POLICY = Policy(name="weighted_least_connections", pick=pick, draws=lambda _options: 1)
