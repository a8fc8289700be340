cimport cython


@cython.final
cdef class Head:
    cdef readonly bytes raw
    cdef readonly bint chunked
    cdef readonly long long length
    cdef readonly bytes method


@cython.final
cdef class Outgoing:
    cdef readonly list headers
    cdef readonly long long length
    cdef readonly int status
    cdef readonly bytes method
    cdef bytes _host


cpdef Head request_from_http2(tuple headers, bint complete)
cpdef Head response_from_http2(tuple headers, bytes method, bint complete)
cpdef bytes trailers_from_http2(tuple headers)
cpdef Outgoing response_to_http2(bytes raw, bytes method)
cpdef Outgoing request_to_http2(bytes raw, bytes scheme)
cpdef list trailers_to_http2(list lines)
