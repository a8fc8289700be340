cimport cython

from smartlb.wire.http1 cimport Request


@cython.final
@cython.freelist(64)
cdef class Context:
    cdef public Request request
    cdef public object peer
    cdef public int route
    cdef public int request_class
    cdef public double arrived_s
    cdef public object pool
    cdef public bytes target
    cdef public object edits
    cdef public object body
    cdef public bytes request_id
    cdef object _state


@cython.locals(context=Context)
cpdef Context new_context(Request request, peer, int route, int request_class, double arrived_s, pool)


@cython.final
@cython.freelist(64)
cdef class ResponseHead:
    cdef public bytes raw
    cdef public int status
    cdef public long long length


@cython.locals(head=ResponseHead)
cpdef ResponseHead new_response_head(bytes raw, int status, long long length)
