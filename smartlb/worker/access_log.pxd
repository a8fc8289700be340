cdef class AccessLog:
    cdef readonly long long dropped
    cdef object _supervisor
    cdef object _to_unix_s
    cdef double _offset_s
    cdef long long _second
    cdef bytes _prefix
    cdef list _lines
    cdef Py_ssize_t _bytes
    cdef list _routes
    cdef list _classes
    cdef list _backends
    cdef Py_ssize_t _no_route
    cdef Py_ssize_t _no_class
    cdef Py_ssize_t _no_backend
