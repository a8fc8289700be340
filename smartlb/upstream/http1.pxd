cimport cython

from smartlb.ports.clock cimport Clock
from smartlb.ports.upstream cimport Attempt, Home, Link, ResponseSink
from smartlb.wire.http1 cimport Response, find_head_end, read_response


@cython.final
cdef class BackendConnection(Link):
    cdef Home _home
    cdef Clock _clock
    cdef bytes _buffer
    cdef bint _in_body
    cdef bint _keep_alive
    cdef long long _left
    cdef object _chunked

    cdef _drop(self, Attempt attempt, outcome, reason)
    @cython.locals(exchange=ResponseSink, end=Py_ssize_t, response=Response, whole=bint)
    cdef _head(self, Attempt attempt, bytes data)
    cdef _discard(self, Attempt attempt, int status, bint reusable)
    @cython.locals(left="long long", end=Py_ssize_t, received=Py_ssize_t, excess=bint, complete=bint)
    cdef _body(self, Attempt attempt, bytes data, Py_ssize_t start)
    cdef bint _is_clear(self, ResponseSink exchange) except -1
    @cython.locals(exchange=ResponseSink, now_s=double)
    cdef _complete(self, Attempt attempt, bint reusable)
