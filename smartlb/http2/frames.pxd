cimport cython

cdef Py_ssize_t _HEADER
cdef Py_ssize_t _PREFACE
cdef Py_ssize_t _DATA
cdef Py_ssize_t _HEADERS
cdef Py_ssize_t _RST_STREAM
cdef Py_ssize_t _WINDOW_UPDATE
cdef Py_ssize_t _CONTINUATION
cdef Py_ssize_t _END_STREAM
cdef Py_ssize_t _END_HEADERS
cdef Py_ssize_t _WORTHWHILE


@cython.final
cdef class FrameCount:
    cdef public long long control
    cdef public long long data
    cdef public long long sections
    cdef public long long updates
    cdef public long long worthwhile
    cdef Py_ssize_t _left
    cdef int _kind
    cdef int _flags
    cdef Py_ssize_t _length
    cdef bytes _begun

    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, taken=Py_ssize_t)
    cpdef feed(self, bytes data)
    cdef _header(self, bytes data, Py_ssize_t at)
    cdef _over(self)
