"""weighted_least_connections: the shortest expected delay, (in flight + 1) / weight.

LVS SED, Linux net/netfilter/ipvs/ip_vs_sed.c. It is also what the learned policy falls back to when its
snapshot is stale.
"""

from smartlb.policies.policy import Policy

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.scan cimport lowest


cdef inline double score(const View *pool, const double *_cost, int at) noexcept nogil:
    """Requests per weight if one more came."""
    return (pool.in_flight[at] + 1.0) / pool.weight[at]


cdef int pick(
    const View *pool, void *_memory, int _request_class, uint64_t _key, double _now_s, const double *draws
) noexcept nogil:
    """The eligible backend with the shortest expected delay; ties by random start."""
    return lowest(pool, score, NULL, draws[0])


POLICY = Policy.of(program(pick), name="weighted_least_connections", draws=lambda _options: 1)
