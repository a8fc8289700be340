cimport cython

@cython.final
cdef class RoutePlan:
    cdef public object pool
    cdef public bint empty
    cdef public tuple request
    cdef public tuple request_bodies
    cdef public tuple responses
    cdef public tuple done
    cdef public bint reads_body
