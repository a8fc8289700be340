"""least_connections: the backend with the fewest requests in flight."""

from smartlb.policies.policy import Policy

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.scan cimport lowest


cdef inline double score(const View *pool, const double *_cost, int at) noexcept nogil:
    """Requests in flight."""
    return pool.in_flight[at]


cdef int pick(
    const View *pool, void *_memory, int _request_class, uint64_t _key, double _now_s, const double *draws
) noexcept nogil:
    """The eligible backend with the fewest requests in flight; ties by random start."""
    return lowest(pool, score, NULL, draws[0])


POLICY = Policy.of(program(pick), name="least_connections", draws=lambda _options: 1)
