cimport cython
from cpython.array cimport array

from smartlb.policies.compiled cimport CompiledPolicy


@cython.final
cdef class Selection:
    cdef object _name
    cdef bint _discovers
    cdef list _members
    cdef object _slice
    cdef object _segment
    cdef object _affinity
    cdef CompiledPolicy _primary
    cdef CompiledPolicy _fallback
    cdef CompiledPolicy _policy
    cdef bint _learned
    cdef public object _slow_start
    cdef bint _starting
    cdef public bint observes
    cdef public bint on_fallback
    cdef Py_ssize_t _size
    cdef object _in_flight
    cdef int[::1] _counts
    cdef object _counts_sum
    cdef int[::1] _own
    cdef object _shared
    cdef bint _alone
    cdef double _refresh_at_s
    cdef object _weight
    cdef object _snapshot
    cdef object _eligible
    cdef int[::1] _limits
    cdef int _most
    cdef signed char[::1] _full
    cdef int _full_count
    cdef bint _limited
    cdef public long long affinity_kept
    cdef public long long affinity_lost
    cdef object _allowed
    cdef array _candidates
    cdef double[::1] _barred
    cdef public object view
    cdef object _unlimited

    cpdef int choose(self, int request_class, key, double now_s, tuple tried) except -3
    cdef int _choose_among(self, int request_class, key, double now_s, tuple tried) except -3
    @cython.locals(position=int)
    cdef int _nobody_now(self, tuple tried) except -3
    cdef int _pick_slowly(self, view, int request_class, key, double now_s) except -3
    cpdef observe(self, int position, double now_s, double latency_s, bint failed)
    @cython.locals(before=int)
    cpdef int began(self, int position) except -1
    @cython.locals(left=int)
    cpdef ended(self, int position)
    @cython.locals(total=int, position=Py_ssize_t)
    cdef int _total(self) except -1
    cdef _refresh(self, double now_s)
    @cython.locals(position=int, full=bint)
    cdef _compare_with_limits(self)
    cdef _fills(self, int position)
    @cython.locals(at=Py_ssize_t, candidate=int)
    cdef _has_room(self, int position)
    @cython.locals(position=int)
    cdef _make_view(self)
