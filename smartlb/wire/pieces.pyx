# cython: boundscheck=False, wraparound=False, cdivision=True
"""Bytes that are put together for every request, in one step each."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy


cdef inline char* _put(char* at, bytes piece) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
    memcpy(at, PyBytes_AS_STRING(piece), size)
    return at + size


cpdef bytes joined(bytes first, bytes data, Py_ssize_t start, Py_ssize_t end):
    """``first + data[start:end]``; `data` itself where that is all."""
    cdef Py_ssize_t head = PyBytes_GET_SIZE(first)
    if head == 0 and start == 0 and end == PyBytes_GET_SIZE(data):
        return data
    cdef bytes out = PyBytes_FromStringAndSize(NULL, head + end - start)
    cdef char* at = PyBytes_AS_STRING(out)
    memcpy(at, PyBytes_AS_STRING(first), head)
    memcpy(at + head, PyBytes_AS_STRING(data) + start, end - start)
    return out


cpdef bytes part(bytes data, Py_ssize_t start, Py_ssize_t end):
    """``data[start:end]``, which is within it; `data` itself where that is all."""
    if start == 0 and end == PyBytes_GET_SIZE(data):
        return data
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)


cpdef bytes request_head(bytes method, bytes target, bytes outgoing, bytes request_id):
    """The head of a request as it is sent to a backend.

    Args:
        method, target: of the request.
        outgoing: header lines, each after a CRLF, up to where the request's id belongs.
        request_id: its value.
    """
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(method) + PyBytes_GET_SIZE(target) + PyBytes_GET_SIZE(outgoing) + PyBytes_GET_SIZE(request_id)
    )
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size + 14)
    cdef char* at = _put(PyBytes_AS_STRING(out), method)
    at[0] = c" "
    at = _put(at + 1, target)
    memcpy(at, b" HTTP/1.1", 9)
    at = _put(at + 9, outgoing)
    at = _put(at, request_id)
    memcpy(at, b"\r\n\r\n", 4)
    return out


cdef class RequestIds:
    """Makes ids that no other request of this node has: eight digits of the worker's, and a number.

    Args:
        prefix: drawn at random by the worker, 32 bits.
    """

    def __init__(self, prefix):
        self._prefix = b"%08x-" % prefix
        self._number = 0

    cpdef bytes next(self):
        """A new id."""
        cdef char digits[16]
        cdef int at = 16
        cdef unsigned long long number
        self._number += 1
        number = self._number
        while number:
            at -= 1
            digits[at] = b"0123456789abcdef"[number & 15]
            number >>= 4
        cdef bytes out = PyBytes_FromStringAndSize(NULL, 9 + 16 - at)
        memcpy(PyBytes_AS_STRING(out), PyBytes_AS_STRING(self._prefix), 9)
        memcpy(PyBytes_AS_STRING(out) + 9, digits + at, 16 - at)
        return out
