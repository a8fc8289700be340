"""haproxy_leastconn: the fewest requests by weight, idle backends first, the longest unchanged of equals.

HAProxy, src/lb_fwlc.c. The key of a backend is 0 when nothing is in flight there, otherwise
(in flight + 1) × 4096 / eweight in whole numbers, with eweight 16 times the weight; the lowest is picked. Whenever its
key changes, a backend goes behind those that have the same one already. What counts as in flight is served and
queued; here it is what the router counts. A change that another router of a shared count made does not
move a backend behind its equals. HAProxy's weights are whole numbers from 1 to 256.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Final, NamedTuple

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members

_SCALE: Final = 16
_GREATEST: Final = 256 * _SCALE


class Memory(NamedTuple):
    """The queue of backends.

    Attributes:
        weight: effective weights.
        order: when each backend's key last changed, as a count.
        changes: ``[1]``; how often keys changed.
    """

    weight: Sequence[int]
    order: MutableSequence[int]
    changes: MutableSequence[int]


def remember(members: Members, _options: object) -> Memory:
    """In the order of the pool."""
    size = len(members.weight)
    weight = [max(1, min(round(_SCALE * value), _GREATEST)) for value in members.weight]
    return Memory(array("q", weight), array("q", range(size)), array("q", [size]))


def pick(
    pool: PoolView,
    _world: World,
    memory: Memory,
    _request_class: int,
    _key: int,
    _now_s: float,
    _draws: Sequence[float],
) -> int:
    """The eligible backend with the lowest key."""
    best = pool.eligible[0]
    least = key_of(memory, best, pool.in_flight[best])
    for at in pool.eligible:
        value = key_of(memory, at, pool.in_flight[at])
        if value < least or (value == least and memory.order[at] < memory.order[best]):
            best, least = at, value
    _moved(memory, best)
    return best


def key_of(memory: Memory, backend: int, in_flight: int) -> int:
    """Where a backend stands; lower is better."""
    if in_flight == 0:
        return 0
    return (in_flight + 1) * _GREATEST // memory.weight[backend]


def observe(_world: World, memory: Memory, backend: int, _now_s: float, _latency_s: float, _failed: bool) -> None:
    """A request less is in flight."""
    _moved(memory, backend)


def _moved(memory: Memory, backend: int) -> None:
    memory.order[backend] = memory.changes[0]
    memory.changes[0] += 1


REFERENCE = Reference(name="haproxy_leastconn", pick=pick, remember=remember, observe=observe)
