cimport cython

from smartlb.ports.upstream cimport Link, Opener


cdef class Connections(Opener):
    cdef object _name
    cdef object _settings
    cdef object _members
    cdef object _names
    cdef object _loop
    cdef public list _address
    cdef public list _idle
    cdef Py_ssize_t _most_idle
    cdef public object _connecting
    cdef dict _complain_at_s
    cdef object _http2
    cdef object _tls
    cdef public long long opened

    @cython.locals(connection=Link)
    cpdef Link idle_connection(self, int position)
    cpdef keep(self, Link connection, double now_s)
