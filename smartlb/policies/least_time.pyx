"""least_time: the backend with the lowest average latency × (requests in flight + 1) / weight.

nginx, src/http/modules/ngx_http_upstream_least_time_module.c and ngx_http_upstream_round_robin.h, with its
"header" time: from dispatch to the first byte. The average is kept in whole milliseconds, 0.05 of a new
sample and 0.95 of what was; failed requests do not count, so that failing fast attracts nothing. For the
choice it is rounded up to the next multiple of 20 ms, so that backends about as fast as each other share the
traffic, and above 5000 ms all are equally slow. A backend that was not looked at for longer than `idle_s`
(nginx's fail_timeout) has its time halved, again and again with every such interval, until it is tried.

Left out: nginx's optional `inflight`, the average age of requests in flight, which the router does not have;
and its smooth weighted round robin among equals, which is a random start here.
"""

from array import array
from collections.abc import MutableSequence
from typing import NamedTuple

from pydantic import Field

from smartlb.policies.policy import Policy, PolicyOptions

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.scan cimport lowest

cdef enum:
    STEP_MS = 20
    SLOWEST_MS = 5_000
    ALL_BITS = 63

# Nothing takes longer; it keeps milliseconds within 64 bits.
cdef double LONGEST_S = 1e9


class Options(PolicyOptions):
    """Options of least_time."""

    idle_s: int = Field(
        default=10,
        ge=1,
        le=3600,
        description="After how long without a request a slow backend begins to be forgiven.",
    )


class Memory(NamedTuple):
    """What was observed of each backend; times are whole seconds, as in nginx.

    Attributes:
        average_ms: the average latency; 0 without history.
        rounded_ms: what it counts as in the present second.
        checked_s: since when it is idle.
        second: the present second, as an array of one.
        idle_s: the option.
    """

    average_ms: MutableSequence[int]
    rounded_ms: MutableSequence[float]
    checked_s: MutableSequence[int]
    second: MutableSequence[int]
    idle_s: int


cdef struct Times:
    long long *average_ms
    double *rounded_ms
    long long *checked_s
    long long *second
    const long long *idle_s


def remember(members, options):
    """No history."""
    zeros = bytes(8 * len(members.names))
    return Memory(
        average_ms=array("q", zeros),
        rounded_ms=array("d", [float(STEP_MS)] * len(members.names)),
        checked_s=array("q", zeros),
        second=array("q", [-1]),
        idle_s=options.idle_s,
    )


cdef inline double score(const View *pool, const double *rounded_ms, int at) noexcept nogil:
    """Estimated milliseconds until one more request would be done, by weight."""
    return rounded_ms[at] * (pool.in_flight[at] + 1.0) / pool.weight[at]


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t _key, double now_s, const double *draws
) noexcept nogil:
    """The eligible backend with the least estimated time; ties by random start."""
    cdef Times *times = <Times *> memory
    cdef long long second = <long long> now_s
    cdef int best
    if times.second[0] != second:
        times.second[0] = second
        forgive(times, pool.size, second)
    best = lowest(pool, score, times.rounded_ms, draws[0])
    if second - times.checked_s[best] > times.idle_s[0]:
        times.checked_s[best] = second
        round_up(times, best, second)
    return best


cdef void observe(void *memory, int backend, double now_s, double latency_s, bint failed) noexcept nogil:
    """Take in the latency of a request that did not fail; a failure only puts off forgiveness."""
    cdef Times *times = <Times *> memory
    cdef long long second = <long long> now_s, sample_ms, average_ms = times.average_ms[backend]
    if failed:
        times.checked_s[backend] = second
    else:
        sample_ms = <long long> (max(0.0, min(latency_s, LONGEST_S)) * 1000.0)
        if average_ms != 0:
            sample_ms = <long long> (0.5 + sample_ms * 0.05 + average_ms * 0.95)
        times.average_ms[backend] = sample_ms
    round_up(times, backend, second)


cdef void forgive(Times *times, long long size, long long second) noexcept nogil:
    """Bring the idle backends' times up to the present second."""
    cdef int backend
    for backend in range(<int> size):
        if second - times.checked_s[backend] > times.idle_s[0]:
            round_up(times, backend, second)


cdef void round_up(Times *times, int backend, long long second) noexcept nogil:
    cdef long long time_ms = times.average_ms[backend]
    cdef long long idle_s = second - times.checked_s[backend]
    if idle_s > times.idle_s[0]:
        time_ms >>= min(idle_s // (times.idle_s[0] + 1), <long long> ALL_BITS)
    if time_ms > SLOWEST_MS:
        time_ms = SLOWEST_MS
    else:
        time_ms += STEP_MS - time_ms % STEP_MS
    times.rounded_ms[backend] = <double> time_ms


POLICY = Policy.of(
    program(pick, observe),
    name="least_time",
    options=Options,
    remember=remember,
    draws=lambda _options: 1,
    keeps=("average_ms", "rounded_ms", "checked_s", "second"),
)
