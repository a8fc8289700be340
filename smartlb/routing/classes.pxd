cimport cython

from smartlb.wire.http1 cimport HeaderBlock


cdef class ClassTest:
    cdef readonly int number
    cdef frozenset _methods
    cdef list _headers

    cdef bint holds(self, bytes method, HeaderBlock block) except -1


cdef class RequestClasses:
    cdef list _anywhere
    cdef dict _of_route

    @cython.locals(tests=list, test=ClassTest)
    cdef int first(self, bytes method, HeaderBlock block, int route) except -1
