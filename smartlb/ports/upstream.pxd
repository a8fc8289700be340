cimport cython

from smartlb.ports.clock cimport Clock
from smartlb.wire.http1 cimport Response


cdef class ResponseSink:
    cdef public bytes method
    cdef public bint whole
    cdef public bint has_body
    cdef public bint content_only

    cpdef bint connected(self, Attempt attempt, connection) except -1
    cpdef connect_failed(self, Attempt attempt, outcome)
    cpdef began(self, Attempt attempt)
    cpdef interim(self, Attempt attempt, bytes head)
    cpdef switches(self, Attempt attempt, bytes raw, bytes data)
    cpdef bint discards(self, Attempt attempt, int status) except -1
    cpdef discarded(self, Attempt attempt, int status, double now_s)
    cpdef responds(self, Attempt attempt, Response response)
    cpdef relay(self, Attempt attempt, bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t received)
    cpdef complete(self, Attempt attempt, double now_s)
    cpdef stale(self, Attempt attempt)
    cpdef unseen(self, Attempt attempt, bint again)
    cpdef broken(self, Attempt attempt, outcome, reason)
    cpdef backend_paused(self, Attempt attempt)


@cython.final
@cython.freelist(64)
cdef class Attempt:
    cdef public ResponseSink exchange
    cdef public int number
    cdef public int position
    cdef public int in_flight
    cdef public double dispatched_s
    cdef public double first_byte_s
    cdef public double quiet_s
    cdef public Link connection
    cdef public object connecting
    cdef public double expected_s
    cdef public object timer
    cdef public int failed_as
    cdef public object trailers
    cdef public bint patient


@cython.locals(attempt=Attempt)
cpdef Attempt new_attempt(ResponseSink exchange, int number, double dispatched_s)


cdef class Link:
    cdef public Attempt attempt
    cdef public object transport
    cdef public int position
    cdef public bint reused
    cdef public bint write_paused
    cdef public bint read_paused
    cdef public double idle_since_s

    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef give_up(self)


cdef class Home:
    cpdef keep(self, Link connection, double now_s)
    cpdef forget(self, Link connection)


cdef class Opener(Home):
    cdef public Clock clock
