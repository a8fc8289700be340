cimport cython


@cython.final
cdef class StreamLimit:
    cdef Py_ssize_t _most
    cdef Py_ssize_t _per_client
    cdef Py_ssize_t _open
    cdef dict _of
    cdef public long long refused

    @cython.locals(count=Py_ssize_t)
    cpdef bint admit(self, str address) except -1
    @cython.locals(count=Py_ssize_t)
    cpdef left(self, str address)
