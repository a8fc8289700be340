cimport cython

from smartlb.exchange.body cimport FilteredBody
from smartlb.stages.context cimport Context, ResponseHead
from smartlb.stages.plan cimport Look, RoutePlan
from smartlb.wire.http1 cimport HeaderBlock, Request, without_headers
from smartlb.wire.pieces cimport request_head


@cython.final
@cython.freelist(64)
cdef class Pipeline:
    cdef RoutePlan _plan
    cdef public Context context
    cdef bytes _body
    cdef bytearray _more
    cdef Py_ssize_t _next
    cdef bint _whole
    cdef public bint sees_response
    cdef public bint needs_body
    cdef public bint has_body
    cdef public double timeout_s
    cdef public FilteredBody body

    cpdef hold(self, bytes piece)
    cdef Py_ssize_t _size(self) except -1
    cdef bytes _content(self)
    @cython.locals(context=Context, looks=tuple, look=Look, most=Py_ssize_t, size=Py_ssize_t)
    cpdef proceed(self, bint whole)
    @cython.locals(
        plan=RoutePlan, context=Context, request=Request, block=HeaderBlock, whole=bint, in_chunks=bint, body=bytes
    )
    cpdef tuple outgoing(self)
    @cython.locals(context=Context)
    cpdef FilteredBody responds(self, ResponseHead head, bint http10)
    cpdef done(self, int outcome, int status)


@cython.locals(pipeline=Pipeline)
cpdef Pipeline new_pipeline(RoutePlan plan, Context context, bytes body)
