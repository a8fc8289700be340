cpdef enum:
    CHUNKED = -1
    UNTIL_CLOSE = -2


cdef class HeaderBlock:
    cdef readonly bytes headers
    cdef public bytes raw
    cdef public bytes kept
    cdef public bytes host
    cdef public bytes outgoing
    cdef public bytes request_id
    cdef readonly bytes upgrade
    cdef readonly dict claims
    cdef public str client
    cdef readonly long long length
    cdef readonly bint http10
    cdef readonly bint keep_alive
    cdef readonly bint expects


cdef class Request:
    cdef readonly bytes method
    cdef readonly bytes target
    cdef readonly HeaderBlock block


cdef class Response:
    cdef readonly bytes head
    cdef readonly bytes connection
    cdef readonly bytes upgrade
    cdef readonly long long length
    cdef readonly int status
    cdef readonly bint keep_alive
    cdef bytes _raw
    cdef bint _to_head


cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start) noexcept
cpdef Request read_request(bytes data, Py_ssize_t end, Request last, Py_ssize_t most_headers=*)
cpdef Response read_response(bytes data, Py_ssize_t end, bytes method)
cpdef Response read_switch(bytes data, Py_ssize_t end)
cpdef bytes without_headers(bytes head, object names)
cpdef bytes without_header(bytes head, bytes name)
