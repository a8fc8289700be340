cimport cython

from smartlb.routing.classes cimport RequestClasses
from smartlb.routing.host cimport HostRoutes
from smartlb.routing.path cimport canonical_path
from smartlb.wire.http1 cimport HeaderBlock

cdef int _NO_ROUTE


cdef class Routing:
    cdef Py_ssize_t _none
    cdef HostRoutes _routes
    cdef bint _by_path
    cdef bint _catch_all
    cdef RequestClasses _classes

    @cython.locals(number=Py_ssize_t, path=bytes)
    cpdef int route(self, bytes method, bytes target, HeaderBlock block) except -1
    cpdef int request_class(self, bytes method, HeaderBlock block, int route) except -1
