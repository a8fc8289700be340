cimport cython

from smartlb.core.ring_writer cimport Record, RingWriter
from smartlb.ports.clock cimport Clock
from smartlb.wire.pieces cimport RequestIds


@cython.final
cdef class Services:
    cdef public Clock clock
    cdef public RequestIds request_ids
    cdef RingWriter _records
    cdef readonly Record record
    cdef public object access_log
    cdef public Py_ssize_t header_bytes
    cdef public Py_ssize_t header_count
    cdef public long long body_bytes
    cdef public double header_s
    cdef public double idle_s
    cdef public double keep_alive_s
    cdef public double tcp_idle_s
    cdef public double udp_idle_s
    cdef public double tls_handshake_s
    cdef public bint draining
    cdef public object route_priorities
    cdef public long long stale_retries

    cpdef write(self, about)
