cimport cython

from smartlb.http2.floods cimport FloodGuard
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
    cpdef data_received(self, bytes data)
    cpdef broken(self, reason, bytes goaway=*)
    cpdef calm(self)
    cpdef end(self, int code)
    cdef _close(self, double patience_s)
    cdef _flush(self)
    cdef _failed(self, error)
    cdef _put_out(self)
    cpdef malformed(self, int number, reason)
    cpdef breached(self)
