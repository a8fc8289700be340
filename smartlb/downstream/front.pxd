cimport cython

from smartlb.ports.services cimport Services
from smartlb.routing.routing cimport Routing


@cython.final
cdef class Front:
    cdef public Services services
    cdef public object admission
    cdef public Routing routing
    cdef public list plans
    cdef public long long tls_handshakes
    cdef public long long tls_handshakes_failed
    cdef public long long http2_calmed
