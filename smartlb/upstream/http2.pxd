cimport cython

from smartlb.http2.connection cimport Connection
from smartlb.http2.stream cimport Stream
from smartlb.ports.upstream cimport Attempt
from smartlb.upstream.http1 cimport BackendConnection
from smartlb.wire.http2_heads cimport Head, Outgoing, request_to_http2, response_from_http2


cdef class RequestStream(Stream):
    cdef Http2BackendConnection _connection
    cdef bytes _method
    cdef double _began_s

    @cython.locals(outgoing=Outgoing)
    cpdef begin(self, bytes raw)
    cdef _refused(self)
    cpdef abort(self)


cdef class Http2BackendConnection(Connection):
    cdef readonly bytes scheme
    cdef public bint going_away
    cdef readonly double idle_since_s
    cdef object _ready
    cdef bint _used
    cdef bint _doubted

    cpdef bint has_room(self) except -1
    cpdef data_received(self, bytes data)
    cpdef pause_writing(self)
    cpdef connection_lost(self, exc)
    cpdef settings(self)
    cpdef forget(self, Stream stream)
    cpdef trailers(self, int number, tuple headers)
    cpdef reset_by_peer(self, int number, unsigned int code)
    cpdef goes_away(self, int last, unsigned int code)
    cpdef doubt(self, double since_s)
    @cython.locals(stream=RequestStream, backend=BackendConnection)
    cpdef BackendConnection open(self, opener, int position)
    @cython.locals(head=Head, stream=RequestStream)
    cpdef response(self, int number, tuple headers, bint complete)
    @cython.locals(backend=BackendConnection, attempt=Attempt)
    cdef _grade(self, Stream stream, tuple headers)
    @cython.locals(backend=BackendConnection, attempt=Attempt)
    cdef _unseen(self, Stream stream, bint again)
