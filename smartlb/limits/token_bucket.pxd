cdef double _ROUNDING_S


cdef class TokenBucket:
    cdef double _interval_s
    cdef double _tolerance_s

    cpdef double wait_s(self, double full_at_s, double now_s) noexcept
    cpdef double taken(self, double full_at_s, double now_s) noexcept
