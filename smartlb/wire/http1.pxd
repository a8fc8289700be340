cdef class HeaderBlock:
    cdef public bytes headers
    cdef public bytes raw
    cdef public bytes kept
    cdef public bytes host
    cdef public bint http10
    cdef public bint keep_alive
    cdef public long long length
    cdef public dict claims
    cdef public bytes outgoing
    cdef public bytes request_id
    cdef public bytes upgrade
    cdef public bint expects


cdef class Request:
    cdef public bytes method
    cdef public bytes target
    cdef public HeaderBlock block


cdef class Response:
    cdef public bytes head
    cdef public int status
    cdef public long long length
    cdef public bint keep_alive


cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start)
cpdef Request read_request(bytes data, Py_ssize_t end, Request last)
cpdef Response read_response(bytes data, Py_ssize_t end, bytes method)
