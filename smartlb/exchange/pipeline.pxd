cimport cython

from smartlb.exchange.body cimport FilteredBody
from smartlb.stages.context cimport Context, ResponseHead
from smartlb.stages.plan cimport RoutePlan
from smartlb.wire.http1 cimport HeaderBlock


@cython.final
cdef class Pipeline:
    cdef RoutePlan _plan
    cdef public Context context
    cdef object _held
    cdef Py_ssize_t _next
    cdef bint _whole
    cdef public bint needs_body
    cdef public bint has_body
    cdef public double timeout_s
    cdef public FilteredBody body

    cpdef hold(self, bytes piece)
    @cython.locals(context=Context, most=Py_ssize_t, size=Py_ssize_t)
    cpdef proceed(self, bint whole)
    @cython.locals(plan=RoutePlan, context=Context, block=HeaderBlock, whole=bint, body=bytes)
    cpdef tuple outgoing(self)
    cpdef FilteredBody responds(self, ResponseHead head, bint http10)
    cpdef done(self, int outcome, int status)
