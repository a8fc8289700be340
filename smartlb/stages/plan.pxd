cimport cython


@cython.final
cdef class Look:
    cdef public object request
    cdef public Py_ssize_t whole_body
    cdef public double timeout_s


@cython.final
cdef class RoutePlan:
    cdef public object pool
    cdef public bint empty
    cdef public tuple looks
    cdef public tuple request_bodies
    cdef public tuple responses
    cdef public tuple done
    cdef public bint reads_body
