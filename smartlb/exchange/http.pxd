cimport cython

from smartlb.exchange.exchange cimport Exchange
from smartlb.ports.requester cimport Requester
from smartlb.ports.upstream cimport Attempt, Link
from smartlb.stages.context cimport Context
from smartlb.stages.plan cimport RoutePlan
from smartlb.upstream.pool cimport Pool
from smartlb.wire.http1 cimport HeaderBlock, Request, Response
from smartlb.wire.pieces cimport joined, request_head


cdef class HttpExchange(Exchange):
    cdef public Requester requester
    cdef public Request request
    cdef public bint keep_alive
    cdef public bint http10
    cdef public bint response_started
    cdef public bint body_content
    cdef public list trailers
    cdef bint _expects
    cdef int _status
    cdef bint _until_close
    cdef Attempt _rival
    cdef bytes _unsent
    cdef bytes _replay
    cdef bytes _pending
    cdef RoutePlan _plan
    cdef Context _context
    cdef object _offer
    cdef object _tunnel
    cdef object _held
    cdef Py_ssize_t _next_stage
    cdef object _suspended
    cdef list _request_filters
    cdef list _response_filters
    cdef bint _request_chunks
    cdef bint _response_chunks

    cpdef begin(self, Pool pool, bytes head, bytes body)
    cpdef begin_planned(self, RoutePlan plan, peer, bytes body)
    @cython.locals(plan=RoutePlan, context=Context)
    cdef _proceed(self)
    cdef bint _collected(self, long long most) except -1
    @cython.locals(plan=RoutePlan, context=Context, pool=Pool, request=Request, block=HeaderBlock)
    cdef _ready(self)
    cdef bytes _filtered(self, bytes piece)
    @cython.locals(connection=Link)
    cpdef more(self, bytes piece)
    @cython.locals(connection=Link)
    cpdef reach(self, Attempt attempt, double now_s)
    cdef _connect(self, Attempt attempt)
    cdef bint _is_present(self, Attempt attempt) except -1
    cdef _carry_on(self, Attempt attempt, Link connection, double now_s)
    @cython.locals(due_s=double)
    cdef _expect_response(self, double now_s)
    cdef _reconnect(self, Attempt attempt)
    cdef bint _may_retry(self, Attempt attempt, int cause) except -1
    cdef _retry(self, Attempt attempt, int outcome, int status, double now_s)
    cdef _watch(self, Attempt attempt)
    cpdef hedge(self)
    cdef Attempt _part(self, Attempt attempt)
    cdef _win(self, Attempt attempt)
    cdef _concede(self, Attempt attempt, int outcome, int status, double now_s)
    @cython.locals(connection=Link)
    cdef _give_up(self, Attempt attempt)
    @cython.locals(requester=Requester, raw=bytes, length="long long", http10=bint)
    cpdef responds(self, Attempt attempt, Response response)
    cdef tuple _staged(self, bytes raw, int status, long long length)
    @cython.locals(head=bytes)
    cpdef relay(self, Attempt attempt, bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t received)
    cpdef complete(self, Attempt attempt, double now_s)
    @cython.locals(connection=Link)
    cpdef pause_response(self)
    @cython.locals(connection=Link)
    cpdef resume_response(self)
    cpdef client_gone(self)
    cpdef refused_midway(self, outcome, reason)
    cdef _too_late(self, bint late)
    cdef bint _has_more_time(self) except -1
    cdef _abandon(self, outcome, int status)
    cdef _stop_waiting_for_stages(self)
    cdef _answer(self, outcome, reason)
    cdef _fail(self, outcome, reason)
    cdef _answer_with(self, answer)
    cdef _record_alone(self, int outcome, int status, double now_s)
    cdef _finish(self, int outcome, int status)
