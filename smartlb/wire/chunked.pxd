import cython

cdef Py_ssize_t _MOST_DIGITS
cdef Py_ssize_t _LONGEST_SIZE_LINE
cdef Py_ssize_t _LONGEST_TRAILERS
cdef Py_ssize_t _MOST_EXCESS


@cython.final
cdef class ChunkedBody:
    cdef readonly bint complete
    cdef readonly long long received
    cdef readonly list trailers
    cdef bint _unframed
    cdef bint _in_trailers
    cdef long long _left
    cdef long long _excess
    cdef Py_ssize_t _trailer_bytes
    cdef bytes _kept

    @cython.locals(
        at=Py_ssize_t, end=Py_ssize_t, line_end=Py_ssize_t, run=Py_ssize_t, size=Py_ssize_t, skipped=Py_ssize_t,
        text=cython.p_const_uchar,
    )
    cpdef tuple feed(self, bytes data, Py_ssize_t start=*)

    @cython.locals(content=Py_ssize_t, here=Py_ssize_t, position=Py_ssize_t, text=cython.p_const_uchar)
    cdef Py_ssize_t _content(self, bytes data, Py_ssize_t at, Py_ssize_t end, list out) except -1

    @cython.locals(
        after=Py_ssize_t, character=cython.uchar, digit=int, digits_end=Py_ssize_t, excess="long long", size="long long",
        text=cython.p_const_uchar,
    )
    cdef Py_ssize_t _size(self, bytes data, Py_ssize_t at, Py_ssize_t line_end, Py_ssize_t run, list out) except -1

    cdef Py_ssize_t _trailer(self, bytes data, Py_ssize_t at, Py_ssize_t line_end, Py_ssize_t run, list out) except -1
    cdef int _keep(self, bytes piece) except -1


@cython.locals(digit=int)
cdef int _hexadecimal(int character) noexcept
