"""lvs_nq: the first idle backend of the list; if none is, the shortest expected delay.

Linux, net/netfilter/ipvs/ip_vs_nq.c: never queue. The delay of a backend is (in flight + 1) / weight; the first of
equals is picked. IPVS counts connections and has whole weights; here it is requests.
"""

from collections.abc import Sequence
from typing import Any

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView


def pick(
    pool: PoolView,
    _world: World,
    _memory: Any,
    _request_class: int,
    _key: int,
    _now_s: float,
    _draws: Sequence[float],
) -> int:
    """The first idle eligible backend, or the one with the least delay."""
    in_flight, weight = pool.in_flight, pool.weight
    best = pool.eligible[0]
    for at in pool.eligible:
        if in_flight[at] == 0:
            return at
        # By products, as in the source, so that nothing is rounded.
        if (in_flight[at] + 1) * weight[best] < (in_flight[best] + 1) * weight[at]:
            best = at
    return best


REFERENCE = Reference(name="lvs_nq", pick=pick)
