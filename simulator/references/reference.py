"""What a reference is: a policy that may know more than a router can."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.kernel.state import World
from smartlb.core.view import PoolView
from smartlb.policies.policy import Key, Members, PolicyOptions

Pick = Callable[[PoolView, World, Any, int, int, float, Sequence[float]], int]
"""``pick(pool, world, memory, request_class, key, now_s, draws)``: as of a policy, with the world beside the pool."""

Observe = Callable[[World, Any, int, float, float, bool], None]
"""``observe(world, memory, backend, now_s, latency_s, failed)``; ``world.report`` is what came with the answer."""


def _no_memory(_members: Members, _options: Any) -> Any:
    return ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference under its name; all but the world is as in `smartlb.policies.policy.Policy`."""

    name: str
    pick: Pick
    options: type[PolicyOptions] = PolicyOptions
    remember: Callable[[Members, Any], Any] = _no_memory
    draws: Callable[[Any], int] = lambda _options: 0
    key: Key = "none"
    observe: Observe | None = None
