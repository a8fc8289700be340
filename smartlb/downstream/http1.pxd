cimport cython

from smartlb.downstream.front cimport Front
from smartlb.exchange.http cimport HttpExchange, new_exchange
from smartlb.ports.requester cimport Requester
from smartlb.ports.services cimport Services
from smartlb.stages.plan cimport RoutePlan
from smartlb.upstream.pool cimport Pool
from smartlb.wire.forwarding cimport Peer
from smartlb.wire.http1 cimport HeaderBlock, Request, find_head_end, read_request
from smartlb.wire.pieces cimport part, request_head


cdef class ClientConnection(Requester):
    cdef Front _front
    cdef Services _services
    cdef object _begin_http2
    cdef object _channel_of
    cdef object _trusted
    cdef object _claimed
    cdef public HttpExchange exchange
    cdef public Peer _peer
    cdef readonly bytes _buffer
    cdef readonly Request _last
    cdef long long _left
    cdef object _chunked
    cdef bint _beginning
    cdef readonly bint _closing

    cdef prepare(self, Front front, trusted, claimed)
    cdef _switch_to_http2(self, bytes data)
    cdef _serve_buffered(self)
    @cython.locals(end=Py_ssize_t, used=Py_ssize_t)
    cdef _serve(self, bytes data)
    @cython.locals(limit=Py_ssize_t, due_s=double)
    cdef _incomplete(self, bytes data)
    @cython.locals(
        front=Front,
        services=Services,
        request=Request,
        block=HeaderBlock,
        length="long long",
        now_s=double,
        route=int,
        request_class=int,
        plan=RoutePlan,
        exchange=HttpExchange,
        body=bytes,
        used=Py_ssize_t,
        plain=bint,
        pool=Pool,
    )
    cdef Py_ssize_t _begin(self, bytes data, Py_ssize_t end) except -1
    @cython.locals(end=Py_ssize_t, body=bytes)
    cdef tuple _body(self, HttpExchange exchange, bytes data, Py_ssize_t at)
    cdef _continue(self, HttpExchange exchange, bytes data)
    @cython.locals(wanted=bint)
    cpdef adjust_reading(self)
    cpdef expect_body(self, double now_s)
    @cython.locals(unread=bint)
    cpdef exchange_over(self, bint keep_alive, double now_s)
    cpdef abort_exchange(self, bint at_once)
    cdef _no_route(self, Request request)
    cdef _refuse(self, outcome, reason, bint body)
    cdef _close(self, bint linger)
