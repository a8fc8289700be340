cimport cython

from smartlb.routing.match cimport RouteTest
from smartlb.routing.path cimport Text
from smartlb.routing.tree cimport PathTree
from smartlb.wire.http1 cimport HeaderBlock


@cython.locals(text=Text, length=Py_ssize_t, end=Py_ssize_t)
cpdef bytes host_name(bytes host)


cdef class Domain:
    cdef readonly dict parts
    cdef public PathTree routes


cdef class HostRoutes:
    cdef Py_ssize_t _none
    cdef dict _exact
    cdef Domain _root
    cdef PathTree _any
    cdef bint _by_host

    @cython.locals(
        best=Py_ssize_t, name=bytes, text=Text, tree=PathTree, domain=Domain, at=Py_ssize_t, end=Py_ssize_t
    )
    cdef Py_ssize_t first(self, bytes method, bytes path, HeaderBlock block) except -1
