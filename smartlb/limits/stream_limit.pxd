cimport cython


@cython.final
cdef class StreamLimit:
    cdef Py_ssize_t _most
    cdef Py_ssize_t _open
    cdef object _per_client
    cdef public long long refused

    cpdef bint admit(self, str address) except -1
    cpdef left(self, str address)
