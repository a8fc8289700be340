"""The lowest score of a whole pool, for policies that look at every backend.

Ties go to the first backend at or after a random start, so that equals share the traffic.
"""

from smartlb.policies.compiled cimport View

# `score(pool, cost, at)`: lower is better; `cost` is what the policy remembers of each backend, or nothing.
ctypedef double (*Score)(const View *pool, const double *cost, int at) noexcept nogil


cdef inline int lowest(const View *pool, Score score, const double *cost, double draw) noexcept nogil:
    """The eligible backend with the lowest score; `draw` says where the scan begins."""
    cdef long long start = <long long> (draw * pool.room), step
    cdef int at, best = pool.eligible[start]
    cdef double value, least = score(pool, cost, best)
    for step in range(start + 1, start + pool.room):
        at = pool.eligible[step - pool.room if step >= pool.room else step]
        value = score(pool, cost, at)
        if value < least:
            best, least = at, value
    return best
