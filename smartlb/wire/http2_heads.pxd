cimport cython


cdef class Head:
    cdef public bytes raw
    cdef public bint chunked
    cdef public long long length


cdef class Outgoing:
    cdef public list headers
    cdef public long long length


cdef class _Section:
    cdef dict pseudo
    cdef list pieces
    cdef bytes host
    cdef int hosts
    cdef long long length

    @cython.locals(name=bytes, value=bytes, size=Py_ssize_t)
    cdef read(self, headers, frozenset expected)
    cdef _length(self, bytes value)


@cython.locals(at=Py_ssize_t, size=Py_ssize_t, byte=cython.uchar)
cdef bint _is_value(bytes value) except -1

@cython.locals(at=Py_ssize_t, size=Py_ssize_t)
cdef bint _all_in(bytes text, bytes table) except -1

@cython.locals(section=_Section, method=bytes, path=bytes, authority=bytes, host=bytes, chunked=bint)
cpdef Head request_from_http2(headers, bint complete)

@cython.locals(section=_Section, code=bytes, chunked=bint, length="long long", status=int)
cpdef Head response_from_http2(headers, bytes method, bint complete)

@cython.locals(section=_Section)
cpdef bytes trailers_from_http2(headers)

cdef Head _head(list pieces, bint chunked, long long length)

@cython.locals(lines=list, outgoing=Outgoing, status=int)
cpdef tuple response_to_http2(bytes raw, bytes method)

@cython.locals(lines=list, outgoing=Outgoing, line=bytes)
cpdef tuple request_to_http2(bytes raw, bytes scheme)

cpdef list trailers_to_http2(lines)

@cython.locals(line=bytes, name=bytes, value=bytes, colon=Py_ssize_t)
cdef Outgoing _to_http2(list headers, lines, long long length)
