"""tower_peak_ewma, linkerd: of two random backends, the one with the lower latency × (requests in flight + 1).

tower, tower/src/load/peak_ewma.rs and its power of two choices. As Finagle's (`smartlb.policies.peak_ewma`): an
exponentially weighted moving average over time that jumps up to a peak at once and comes down slowly, also when it is
looked at. But it begins at `default_rtt_s`, and no backend is avoided for being without history. tower itself leaves
`decay_s` to its user; 10 s are those of Finagle and Linkerd. Linkerd (linkerd/app/core/src/control.rs) begins at
30 ms where tower's documentation has a second. Failed requests count like any other. Linkerd's breaking of circuits is
left out.
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
    """Options of tower_peak_ewma."""

    decay_s: float = Field(default=10.0, gt=0, le=3600, description="Mean lifetime of what was observed.")
    default_rtt_s: float = Field(default=1.0, gt=0, le=3600, description="The latency of a backend without history.")


class LinkerdOptions(Options):
    """Options of linkerd."""

    default_rtt_s: float = Field(default=0.03, gt=0, le=3600, description="The latency of a backend without history.")


class Memory(NamedTuple):
    """What was observed of each backend.

    Attributes:
        cost_s: the average latency.
        stamp_s: when it last changed.
        decay_s: the option.
    """

    cost_s: MutableSequence[float]
    stamp_s: MutableSequence[float]
    decay_s: float


def remember(members: Members, options: Options) -> Memory:
    """No history, at time 0."""
    size = len(members.names)
    return Memory(array("d", [options.default_rtt_s] * size), array("d", [0.0] * size), options.decay_s)


def pick(
    pool: PoolView, _world: World, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """The less loaded of two distinct uniform draws; the first drawn on ties."""
    count = len(pool.eligible)
    nth = int(draws[0] * count)
    other = int(draws[1] * (count - 1))
    first = pool.eligible[nth]
    second = pool.eligible[other + (other >= nth)] if count > 1 else first
    if load(memory, second, now_s, pool.in_flight[second]) < load(memory, first, now_s, pool.in_flight[first]):
        return second
    return first


def load(memory: Memory, backend: int, now_s: float, in_flight: int) -> float:
    """What one more request at `backend` would meet, in seconds; decays its average to `now_s`."""
    _average(memory, backend, now_s, 0.0)
    return memory.cost_s[backend] * (in_flight + 1)


def observe(_world: World, memory: Memory, backend: int, now_s: float, latency_s: float, _failed: bool) -> None:
    """Take in a latency: a peak at once, anything lower by the time since the last."""
    _average(memory, backend, now_s, latency_s)


def _average(memory: Memory, backend: int, now_s: float, latency_s: float) -> None:
    cost_s = memory.cost_s[backend]
    if latency_s > cost_s:
        cost_s = latency_s
    else:
        kept = exp(-max(now_s - memory.stamp_s[backend], 0.0) / memory.decay_s)
        cost_s = cost_s * kept + latency_s * (1.0 - kept)
    memory.cost_s[backend] = cost_s
    memory.stamp_s[backend] = now_s


REFERENCE = Reference(
    name="tower_peak_ewma",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda _options: 2,
    observe=observe,
)
LINKERD = Reference(
    name="linkerd",
    pick=pick,
    options=LinkerdOptions,
    remember=remember,
    draws=lambda _options: 2,
    observe=observe,
)
