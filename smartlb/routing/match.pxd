from smartlb.wire.http1 cimport HeaderBlock


cdef class RouteTest:
    cdef readonly Py_ssize_t number
    cdef readonly list start
    cdef object _regex
    cdef frozenset _methods
    cdef list _headers

    cdef bint holds(self, bytes method, bytes path, HeaderBlock block) except -1


cpdef bint all_found(list tests, bytes headers) except -1
