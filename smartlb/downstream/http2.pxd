cimport cython

from smartlb.downstream.front cimport Front
from smartlb.downstream.http1 cimport ClientConnection
from smartlb.http2.connection cimport Connection
from smartlb.http2.stream cimport Stream
from smartlb.limits.stream_limit cimport StreamLimit
from smartlb.ports.services cimport Services
from smartlb.wire.forwarding cimport Peer
from smartlb.wire.http1 cimport Request
from smartlb.wire.http2_heads cimport Head, Outgoing, request_from_http2, response_to_http2


cdef class ResponseStream(Stream):
    cdef public bytes method

    @cython.locals(outgoing=Outgoing)
    cpdef begin(self, bytes raw)


cdef class StreamClient(ClientConnection):
    cdef begin(self, ResponseStream stream, Peer peer, Request last)


cdef class Http2ClientConnection(Connection):
    cdef Front _front
    cdef Services _services
    cdef StreamLimit _limit
    cdef Peer _peer
    cdef object _claimed
    cdef str _limited
    cdef double _idle_at_s
    cdef Request _last

    @cython.locals(head=Head, stream=ResponseStream, client=StreamClient)
    cpdef request(self, int number, tuple headers, bint complete)
    @cython.locals(stream=ResponseStream, client=StreamClient, earliest_s=double)
    cdef double _earliest_s(self) except? -1.0
    cpdef forget(self, Stream stream)
    cpdef connection_lost(self, exc)
    cpdef broken(self, reason, bytes goaway=*)
    cpdef calm(self)
    cpdef breached(self)
