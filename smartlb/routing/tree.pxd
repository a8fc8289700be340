cimport cython

from smartlb.routing.match cimport RouteTest
from smartlb.routing.path cimport Text
from smartlb.wire.http1 cimport HeaderBlock


cdef class PathNode:
    cdef readonly list tests
    cdef readonly dict children
    cdef public Py_ssize_t below


cdef class PathTree:
    cdef PathNode _root
    cdef Py_ssize_t _none

    @cython.locals(
        node=PathNode, child=PathNode, test=RouteTest, text=Text, at=Py_ssize_t, start=Py_ssize_t, length=Py_ssize_t
    )
    cdef Py_ssize_t first(self, bytes method, bytes path, HeaderBlock block, Py_ssize_t best) except -1
