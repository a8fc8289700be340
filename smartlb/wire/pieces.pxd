cimport cython

cpdef bytes joined(bytes first, bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bytes part(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bytes request_head(bytes method, bytes target, bytes outgoing, bytes request_id)


@cython.final
cdef class RequestIds:
    cdef bytes _prefix
    cdef unsigned long long _number

    cpdef bytes next(self)
