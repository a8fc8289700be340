cimport cython

from smartlb.wire.chunked cimport ChunkedBody

from smartlb.http2.session cimport Hearer, Session
from smartlb.wire.http1 cimport find_head_end
from smartlb.wire.pieces cimport part

cdef Py_ssize_t _MOST_UNSENT
cdef Py_ssize_t _FEW_UNSENT
cdef Py_ssize_t _OPEN_WINDOW


cdef class Carrier(Hearer):
    cdef public object transport
    cdef public Session session

    cpdef flush_soon(self)
    cpdef to_send(self, Stream stream)
    cpdef reset(self, int number, int code)
    cpdef forget(self, Stream stream)


cdef class Stream:
    cdef public int number
    cdef public object protocol
    cdef public bint chunks
    cdef public bint received
    cdef readonly Carrier carrier
    cdef public long long missing
    cdef bytes _head
    cdef bint _begun
    cdef long long _left
    cdef ChunkedBody _chunked
    cdef bint _written
    cdef bint _bodiless
    cdef bint _closed
    cdef bint _closing
    cdef object _arrived
    cdef bint _delivering
    cdef bint _paused
    cdef bint _pausing
    cdef Py_ssize_t _taken
    cdef bint _over

    cdef belongs_to(self, Carrier carrier, int number)
    cpdef begin(self, bytes raw)
    cpdef head_sent(self, long long length)
    @cython.locals(content=bytes, following=bytes, trailers=list)
    cpdef write(self, data)
    @cython.locals(end=Py_ssize_t)
    cdef bytes _begin(self, bytes data)
    cdef _send(self, bytes content, list trailers)
    cdef bint _all_sent(self) except -1
    @cython.locals(held=Py_ssize_t)
    cpdef bint flushed(self) except -1
    cpdef deliver(self, bytes data, Py_ssize_t size=*)
    @cython.locals(size=Py_ssize_t)
    cpdef bint deliver_body(self, bytes content) except -1
    cpdef bint deliver_end(self, bytes trailers=*) except -1
    cdef _hand(self, bytes data, Py_ssize_t size)
    cdef _take(self, Py_ssize_t size)
    cdef _give_back(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef closed(self)
    cdef _end_if_done(self)
    cdef _end(self)
    cdef _drop_arrived(self)
    cpdef reset(self, int code)
    cpdef lost(self)
    cpdef close(self)
    cpdef abort(self)
    cpdef bint is_closing(self)
