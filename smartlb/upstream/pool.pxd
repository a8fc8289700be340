cimport cython

from smartlb.upstream.connections cimport Connections
from smartlb.upstream.selection cimport Selection


@cython.final
cdef class Pool:
    cdef public object name
    cdef public object settings
    cdef public double request_s
    cdef public double attempt_s
    cdef public int first
    cdef list _members
    cdef object _secret
    cdef object _affinity
    cdef public Selection selection
    cdef public Connections connections
    cdef public object waiting
    cdef public object retries
    cdef public object hedging
    cdef public object upgrades
    cdef public object key
    cdef public bint by_key
    cdef public bint binds

    cpdef ended(self, int position)
