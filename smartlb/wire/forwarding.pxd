import cython

from smartlb.wire.http1 cimport HeaderBlock


@cython.final
cdef class Peer:
    cdef readonly str address
    cdef readonly bint trusted
    cdef public bytes version
    cdef object _channel
    cdef object _trusted
    cdef unsigned long long _ip_key

    cpdef complete(self, HeaderBlock block, str pool)
    cpdef str client(self, HeaderBlock block)
    cpdef unsigned long long key(self, str kind, bytes target, HeaderBlock block) except? 0


cpdef unsigned long long address_key(str address) except? 0
cpdef unsigned long long hash64(bytes data) except? 0
