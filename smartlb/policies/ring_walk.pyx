"""How ip_hash, url_hash and affinity find a backend on the ring of `smartlb.policies.hash_ring`."""

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program

cdef struct Ring:
    # The parts of `smartlb.policies.hash_ring.Memory`, in its order.
    const uint64_t *points
    const int *owners
    const long long *size
    const long long *weight
    const double *load_bound


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t key, double _now_s, const double *_draws
) noexcept nogil:
    """The first eligible backend at or after `key` on the ring that has room."""
    cdef Ring *ring = <Ring *> memory
    cdef long long step, size = ring.size[0], first = first_from(ring.points, key, size)
    cdef double load_bound = ring.load_bound[0], slots = 0.0, total = 1.0
    cdef int at, fallback = -1
    if load_bound != 0.0:
        slots = load_bound * (_load(pool) + 1)
        total = _weight(pool, ring)
    for step in range(first, first + size):
        at = ring.owners[step - size if step >= size else step]
        if pool.barred[at] == 0.0:
            if load_bound == 0.0 or pool.in_flight[at] < slots * ring.weight[at] / total:
                return at
            if fallback < 0:
                fallback = at
    # Some backend always has room; this is for when rounding says otherwise.
    return fallback if fallback >= 0 else pool.eligible[0]


cdef long long first_from(const uint64_t *points, uint64_t key, long long size) noexcept nogil:
    """The first of ascending points that is not below a key; `size` where none is."""
    cdef long long low = 0, high = size, middle
    while low < high:
        middle = (low + high) // 2
        if points[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef long long _load(const View *pool) noexcept nogil:
    """Requests in flight at the eligible backends."""
    cdef long long nth, load = 0
    for nth in range(pool.room):
        load += pool.in_flight[pool.eligible[nth]]
    return load


cdef long long _weight(const View *pool, const Ring *ring) noexcept nogil:
    """The sum of their weights, in weight units."""
    cdef long long nth, total = 0
    for nth in range(pool.room):
        total += ring.weight[pool.eligible[nth]]
    return total


PROGRAM = program(pick)
