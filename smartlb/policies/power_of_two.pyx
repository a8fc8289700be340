"""power_of_two: two distinct backends at random, the one with fewer requests per weight.

M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
"""

from smartlb.policies.policy import Policy

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.pair cimport Pair, drawn_pair


cdef int pick(
    const View *pool, void *_memory, int _request_class, uint64_t _key, double _now_s, const double *draws
) noexcept nogil:
    """The less loaded of two uniform draws; the first drawn on ties."""
    cdef Pair pair = drawn_pair(pool, draws)
    cdef double second = (pool.in_flight[pair.second] + 1.0) / pool.weight[pair.second]
    return pair.second if second < (pool.in_flight[pair.first] + 1.0) / pool.weight[pair.first] else pair.first


POLICY = Policy.of(program(pick), name="power_of_two", draws=lambda _options: 2)
