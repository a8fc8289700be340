from libc.stdint cimport uint64_t

from smartlb.limits.token_bucket cimport TokenBucket

cdef struct Slot:
    uint64_t key  # of a client; 0 where there is none
    uint64_t full_at  # seconds, the bits of a double


cdef class SharedBuckets:
    cdef unsigned char[::1] _memory
    cdef Slot *_slots
    cdef uint64_t _lines
    cdef TokenBucket _bucket

    cpdef double take(self, uint64_t key, double now_s) noexcept
    cdef Slot *_at(self, uint64_t first, int step) noexcept
    cdef Slot *_find(self, uint64_t key, uint64_t first) noexcept
    cdef Slot *_claim(self, uint64_t key, uint64_t first, double now_s) noexcept
