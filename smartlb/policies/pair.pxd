"""Two distinct backends by uniform draws, for policies that take the better of two."""

from smartlb.policies.compiled cimport View

cdef struct Pair:
    int first
    int second


cdef inline Pair drawn_pair(const View *pool, const double *draws) noexcept nogil:
    """Two that may be picked, in the order drawn; the same one twice where there is no other."""
    cdef Pair pair
    cdef long long first = <long long> (draws[0] * pool.room), second
    if pool.room == 1:
        pair.first = pair.second = pool.eligible[0]
        return pair
    second = <long long> (draws[1] * (pool.room - 1))
    pair.first = pool.eligible[first]
    pair.second = pool.eligible[second + 1 if second >= first else second]
    return pair
