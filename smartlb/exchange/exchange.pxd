cimport cython

from smartlb.core.outcome cimport failed
from smartlb.core.ring_writer cimport Record
from smartlb.ports.services cimport Services
from smartlb.ports.upstream cimport Attempt, ResponseSink, new_attempt
from smartlb.upstream.pool cimport Pool


cdef unsigned int[::1] _FOLLOWING


cdef class Exchange(ResponseSink):
    cdef public Services services
    cdef public Pool pool
    cdef public int route
    cdef public int state
    cdef public int request_class
    cdef public object key
    cdef public double arrived_s
    cdef public double must_end_s
    cdef public Attempt attempt
    cdef public tuple tried
    cdef public long long request_bytes
    cdef public long long response_bytes
    cdef public bytes target
    cdef public bytes request_id
    cdef public bint observed

    cdef prepare(self, Services services, int route)
    cpdef enter(self, int state)
    @cython.locals(pool=Pool, position=int)
    cpdef dispatch(self, double now_s)
    @cython.locals(attempt=Attempt)
    cpdef go_to(self, int position, double now_s)
    cpdef next_attempt(self, double now_s)
    cpdef leave_queue(self)
    @cython.locals(pool=Pool, position=int, first_byte_s=double, dispatched_s=double, record=Record)
    cpdef settle(self, Attempt attempt, int outcome, int status, double now_s)
    @cython.locals(latency_s=double)
    cpdef observe(self, Attempt attempt, int position, int outcome, int status, double now_s)
    cpdef reach(self, Attempt attempt, double now_s)
    cpdef refuse(self, outcome, reason)
    cpdef wait_until(self, double deadline_s)
    cpdef timed_out(self, double now_s)
    cpdef retried(self)
