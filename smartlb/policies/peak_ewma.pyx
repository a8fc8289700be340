"""peak_ewma: of two random backends, the one with the lower latency × (requests in flight + 1).

Twitter Finagle, finagle-core/.../loadbalancer/PeakEwma.scala. The latency is an exponentially weighted moving
average over time that jumps up to a peak at once and comes down slowly; looking at it lets it decay, so that
a slow backend is tried again. A backend without history but with requests in flight is avoided until it has
answered. Failed requests count with their latency like any other, as in the source; configured weights are
not used.

Finagle measures to the end of the response; here it is to the first byte.
"""

from array import array
from collections.abc import MutableSequence
from typing import NamedTuple

from pydantic import Field

from smartlb.policies.policy import Policy, PolicyOptions

from libc.math cimport exp
from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.pair cimport Pair, drawn_pair

# The load of a backend without history; Finagle's number of nanoseconds, 2^63 - 1 >> 16, about 39 hours.
cdef double PENALTY_S = 140737488355327 * 1e-9


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


cdef struct Averages:
    double *cost_s
    double *stamp_s
    const double *decay_s


def remember(members, options):
    """No history."""
    zeros = bytes(8 * len(members.names))
    return Memory(cost_s=array("d", zeros), stamp_s=array("d", zeros), decay_s=options.decay_s)


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t _key, double now_s, const double *draws
) noexcept nogil:
    """The less loaded of two distinct uniform draws; the first drawn on ties."""
    cdef Averages *averages = <Averages *> memory
    cdef Pair pair = drawn_pair(pool, draws)
    cdef double second = load(averages, pair.second, now_s, pool.in_flight[pair.second])
    return pair.second if second < load(averages, pair.first, now_s, pool.in_flight[pair.first]) else pair.first


cdef double load(Averages *averages, int backend, double now_s, double in_flight) noexcept nogil:
    """What one more request at a backend would meet, in seconds; decays its average to `now_s`."""
    average(averages, backend, now_s, 0.0)
    cdef double cost_s = averages.cost_s[backend]
    if cost_s == 0.0 and in_flight != 0.0:
        return PENALTY_S + in_flight
    return cost_s * (in_flight + 1.0)


cdef void observe(void *memory, int backend, double now_s, double latency_s, bint _failed) noexcept nogil:
    """Take in a latency: a peak at once, anything lower by the time since the last."""
    average(<Averages *> memory, backend, now_s, max(latency_s, 0.0))


cdef void average(Averages *averages, int backend, double now_s, double latency_s) noexcept nogil:
    """Bring an average up to `now_s` with a latency; 0.0 only lets it decay."""
    cdef double kept, cost_s = averages.cost_s[backend]
    if latency_s > cost_s:
        cost_s = latency_s
    else:
        kept = exp(-max(now_s - averages.stamp_s[backend], 0.0) / averages.decay_s[0])
        cost_s = cost_s * kept + latency_s * (1.0 - kept)
    averages.cost_s[backend] = cost_s
    averages.stamp_s[backend] = now_s


POLICY = Policy.of(
    program(pick, observe),
    name="peak_ewma",
    options=Options,
    remember=remember,
    draws=lambda _options: 2,
    keeps=("cost_s", "stamp_s"),
)
