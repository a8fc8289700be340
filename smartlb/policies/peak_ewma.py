"""peak_ewma: of two random backends, the one with the lower latency × (requests in flight + 1).

Twitter Finagle, finagle-core/.../loadbalancer/PeakEwma.scala. The latency is an exponentially weighted moving
average over time that jumps up to a peak at once and comes down slowly; looking at it lets it decay, so that
a slow backend is tried again. A backend without history but with requests in flight is avoided until it has
answered. Failed requests count with their latency like any other, as in the source; configured weights are
not used.

Finagle measures to the end of the response; here it is to the first byte.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from math import exp
from typing import NamedTuple

from pydantic import Field

from smartlb.core.view import PoolView
from smartlb.policies.pair import pair
from smartlb.policies.policy import Members, Policy, PolicyOptions

PENALTY_S = ((1 << 63) - 1 >> 16) * 1e-9
"""The load of a backend without history; Finagle's number of nanoseconds, about 39 hours."""


class Options(PolicyOptions):
    """Options of peak_ewma."""

    decay_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Mean lifetime of what was observed; the half-life is 0.69 of it.",
    )


class Memory(NamedTuple):
    """What was observed of each backend.

    Attributes:
        cost_s: the average latency; 0.0 without history.
        stamp_s: when it last changed.
        decay_s: the option.
    """

    cost_s: MutableSequence[float]
    stamp_s: MutableSequence[float]
    decay_s: float


def remember(members: Members, options: Options) -> Memory:
    """No history."""
    zeros = bytes(8 * len(members.names))
    return Memory(array("d", zeros), array("d", zeros), options.decay_s)


def pick(pool: PoolView, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]) -> int:
    """The less loaded of two distinct uniform draws; the first drawn on ties."""
    first, second = pair(pool.eligible, draws)
    if load(memory, second, now_s, pool.in_flight[second]) < load(memory, first, now_s, pool.in_flight[first]):
        return second
    return first


def load(memory: Memory, backend: int, now_s: float, in_flight: int) -> float:
    """What one more request at `backend` would meet, in seconds; decays its average to `now_s`."""
    average(memory, backend, now_s, 0.0)
    cost_s = memory.cost_s[backend]
    if cost_s == 0.0 and in_flight != 0:
        return PENALTY_S + in_flight
    return cost_s * (in_flight + 1)


def observe(memory: Memory, backend: int, now_s: float, latency_s: float, _failed: bool) -> None:
    """Take in a latency: a peak at once, anything lower by the time since the last."""
    average(memory, backend, now_s, max(latency_s, 0.0))


def average(memory: Memory, backend: int, now_s: float, latency_s: float) -> None:
    """Bring an average up to `now_s` with a latency; 0.0 only lets it decay."""
    cost_s = memory.cost_s[backend]
    if latency_s > cost_s:
        cost_s = latency_s
    else:
        kept = exp(-max(now_s - memory.stamp_s[backend], 0.0) / memory.decay_s)
        cost_s = cost_s * kept + latency_s * (1.0 - kept)
    memory.cost_s[backend] = cost_s
    memory.stamp_s[backend] = now_s


POLICY = Policy(
    name="peak_ewma",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda _options: 2,
    observe=observe,
    keeps=("cost_s", "stamp_s"),
)
