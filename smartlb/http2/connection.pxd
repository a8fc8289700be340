cimport cython

from smartlb.http2.floods cimport FloodGuard
from smartlb.http2.session cimport Session
from smartlb.http2.stream cimport Carrier, Stream


cdef class Connection(Carrier):
    cdef public dict streams
    cdef public bint write_paused
    cdef public bint closed
    cdef FloodGuard _guard
    cdef list _sending
    cdef bint _flushing
    cdef object _loop
    cdef double _now_s
    cdef int _reset_number
    cdef bint _peer_leaves

    cpdef connection_made(self, transport)
    cpdef connection_lost(self, exc)
    cpdef pause_writing(self)
    cpdef resume_writing(self)
    @cython.locals(session=Session, guard=FloodGuard)
    cpdef data_received(self, bytes data)
    cpdef broken(self, reason, bytes goaway=*)
    cpdef calm(self)
    cpdef end(self, int code)
    cdef _close(self, double patience_s)
    @cython.locals(stream=Stream)
    cdef _flush(self)
    @cython.locals(stream=Stream)
    cpdef data(self, int number, bytes content, bint last)
    @cython.locals(stream=Stream)
    cpdef stream_closed(self, int number, unsigned int code)
    cdef _failed(self, error)
    cdef _put_out(self)
    cpdef malformed(self, int number, reason)
    cpdef breached(self)
