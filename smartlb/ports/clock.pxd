cimport cython

@cython.final
cdef class Clock:
    cdef public double ahead_s

    cpdef double now(self) noexcept
