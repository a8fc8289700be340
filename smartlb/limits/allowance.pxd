from smartlb.limits.token_bucket cimport TokenBucket


cdef class Allowance:
    cdef TokenBucket _bucket
    cdef double _full_at_s

    cpdef bint take(self, double now_s)
