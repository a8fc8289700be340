cimport cython

from smartlb.exchange.body cimport FilteredBody
from smartlb.exchange.exchange cimport Exchange
from smartlb.exchange.pipeline cimport Pipeline, new_pipeline
from smartlb.ports.requester cimport Requester
from smartlb.ports.services cimport Services
from smartlb.ports.upstream cimport Attempt, Link, new_attempt
from smartlb.stages.context cimport Context, ResponseHead, new_context, new_response_head
from smartlb.stages.plan cimport RoutePlan
from smartlb.upstream.pool cimport Pool
from smartlb.wire.forwarding cimport Peer
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
    cdef Pipeline _pipeline
    cdef FilteredBody _response_body
    cdef object _offer
    cdef object _tunnel
    cdef object _suspended

    cpdef begin(self, Pool pool, bytes head, bytes body, double now_s)
    @cython.locals(context=Context)
    cpdef begin_planned(self, RoutePlan plan, peer, bytes body)
    @cython.locals(pipeline=Pipeline)
    cdef _proceed(self)
    cdef _collect(self)
    @cython.locals(context=Context, pool=Pool, peer=Peer, request=Request, block=HeaderBlock)
    cdef _ready(self, Pipeline pipeline)
    cdef bytes _filtered(self, Pipeline pipeline, bytes piece)
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
    @cython.locals(requester=Requester, raw=bytes, length="long long", http10=bint, head=ResponseHead)
    cpdef responds(self, Attempt attempt, Response response)
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
    cdef _answer_with(self, answer)
    cdef _record_alone(self, int outcome, int status, double now_s)
    cdef _finish(self, int outcome, int status)


@cython.locals(exchange=HttpExchange, block=HeaderBlock)
cpdef HttpExchange new_exchange(
    Services services, Requester requester, Request request, int route, int request_class, double arrived_s
)
