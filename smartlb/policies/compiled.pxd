"""What compiled policies see, the form of their functions, and how they are called; see `compiled.pyx`."""

cimport cython
from cpython.array cimport array
from libc.stdint cimport uint64_t

cdef struct View:
    # `smartlb.core.view.PoolView` as C reads it. The simulator fills the same struct: `simulator.kernel.native`.
    const int *eligible
    long long room  # how many are eligible
    const double *barred
    const int *in_flight
    long long size  # how many backends there are
    const double *weight
    const double *draw
    const double *explore
    const double *base_s
    const double *slope_s
    double sight

# A memory is a struct of pointers, one to each part of what `Policy.remember` builds, in that order.
ctypedef int (*PickFunction)(
    const View *pool, void *memory, int request_class, uint64_t key, double now_s, const double *draws
) noexcept nogil
ctypedef void (*ObserveFunction)(void *memory, int backend, double now_s, double latency_s, bint failed) noexcept nogil


cdef class Program:
    cdef PickFunction _pick
    cdef ObserveFunction _observe
    cdef readonly bint by_class

cdef Program program(PickFunction pick, ObserveFunction observe=*, bint by_class=*)


cdef class Seen:
    cdef View view
    cdef long long classes
    cdef array eligible
    cdef list held


cdef class Parts:
    cdef void *at[12]
    cdef list held
    cdef long long longest


@cython.final
cdef class CompiledPolicy:
    cdef readonly object memory
    cdef object _renew
    cdef Program _program
    cdef Seen _seen
    cdef Parts _parts
    cdef uint64_t _state[4]
    cdef int _drawn
    cdef long long _size

    cpdef see(self, view)
    cpdef renew(self, members, same)
    cdef _remember(self, memory)
    cpdef int pick(self, int request_class, uint64_t key, double now_s) except -2
    cpdef void observe(self, int position, double now_s, double latency_s, bint failed) noexcept
    cdef double _draw(self) noexcept nogil
