"""least_connections: the backend with the fewest requests in flight."""

from collections.abc import Sequence
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Policy
from smartlb.policies.scan import lowest


def score(in_flight: Any, _weight: Any, _cost: Any) -> Any:
    """Requests in flight."""
    return in_flight


def pick(pool: PoolView, _memory: Any, _request_class: int, _key: int, _now_s: float, draws: Sequence[float]) -> int:
    """The eligible backend with the fewest requests in flight; ties by random start."""
    return lowest(pool, score, pool.weight, draws[0])


POLICY = Policy(name="least_connections", pick=pick, draws=lambda _options: 1)
