"""kong_latency: the backend with the lowest average latency by weight, whatever is in flight there.

Kong, kong/runloop/balancer/latency.lua: an exponentially weighted moving average over time, decayed to the present when
it is looked at, without writing that down. The number of backends that are compared is two, raised to
all of them by what its source has since called a mistake, so that the pick is the minimum of all; now it compares the
first two of its table. This is the former. A backend without history counts as 0, so that the first of a
new pool gets everything until its first answer. Ties go to the first; Kong's table has an order of its own. Kong
measures to the end of the response; here it is to the first byte. All requests count, failed ones too.

Kong starts a backend that is added to a pool at the mean of the others. Backends do not join here; one that was away
keeps its average.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from math import exp
from typing import NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions


class Options(PolicyOptions):
    """Options of kong_latency."""

    decay_s: float = Field(default=10.0, gt=0, le=3600, description="Mean lifetime of what was observed.")


class Memory(NamedTuple):
    """What was observed of each backend.

    Attributes:
        average_s: the latency; 0.0 without history.
        stamp_s: when it last changed.
        decay_s: the option.
    """

    average_s: MutableSequence[float]
    stamp_s: MutableSequence[float]
    decay_s: float


def remember(members: Members, options: Options) -> Memory:
    """No history."""
    zeros = bytes(8 * len(members.names))
    return Memory(array("d", zeros), array("d", zeros), options.decay_s)


def pick(
    pool: PoolView, _world: World, memory: Memory, _request_class: int, _key: int, now_s: float, _draws: Sequence[float]
) -> int:
    """The eligible backend with the lowest score, the first of equals."""
    eligible = pool.eligible
    best = eligible[0]
    least = decayed_s(memory, best, now_s) / pool.weight[best]
    for at in eligible:
        value = decayed_s(memory, at, now_s) / pool.weight[at]
        if value < least:
            best, least = at, value
    return best


def decayed_s(memory: Memory, backend: int, now_s: float) -> float:
    """A backend's average as of now."""
    return memory.average_s[backend] * exp(-max(now_s - memory.stamp_s[backend], 0.0) / memory.decay_s)


def observe(_world: World, memory: Memory, backend: int, now_s: float, latency_s: float, _failed: bool) -> None:
    """Take in a latency, by the time since the last."""
    kept = exp(-max(now_s - memory.stamp_s[backend], 0.0) / memory.decay_s)
    memory.average_s[backend] = memory.average_s[backend] * kept + latency_s * (1.0 - kept)
    memory.stamp_s[backend] = now_s


REFERENCE = Reference(name="kong_latency", pick=pick, options=Options, remember=remember, observe=observe)
