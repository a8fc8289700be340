cimport cython


cdef class Hearer:
    cpdef request(self, int number, tuple headers, bint complete)
    cpdef response(self, int number, tuple headers, bint complete)
    cpdef trailers(self, int number, tuple headers)
    cpdef data(self, int number, bytes content, bint last)
    cpdef reset_by_peer(self, int number, unsigned int code)
    cpdef stream_closed(self, int number, unsigned int code)
    cpdef settings(self)
    cpdef goes_away(self, int last)
    cpdef over(self, unsigned int code, reason)


cdef class Session:
    cdef public unsigned int most_streams
    cdef Hearer _hearer
    cdef object _engine
    cdef bint _server
    cdef long long _window
    cdef long long _window_wanted
    cdef long long _owed
    cdef int _last

    cpdef bint receive(self, bytes data) except -1
    @cython.locals(events=list, broken=set, at=Py_ssize_t, count=Py_ssize_t)
    cpdef report(self)
    cdef _give_back(self, int number, Py_ssize_t size)
    cdef _tell(self, event)
    @cython.locals(missing="long long")
    cdef _mend_window(self)
    cpdef bytes output(self)
    cpdef send(self, int number, bytes content, bint last)
    cpdef taken(self, int number, Py_ssize_t size)
    cpdef Py_ssize_t held(self, int number) except -1
