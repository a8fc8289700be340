cimport cython


cdef class Hearer:
    cpdef request(self, int number, tuple headers, bint complete)
    cpdef response(self, int number, tuple headers, bint complete)
    cpdef trailers(self, int number, tuple headers)
    cpdef data(self, int number, bytes content, bint last)
    cpdef reset_by_peer(self, int number, unsigned int code)
    cpdef stream_closed(self, int number, unsigned int code)
    cpdef settings(self)
    cpdef goes_away(self, int last, unsigned int code)
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
    @cython.locals(events=list, broken=set, at=Py_ssize_t, count=Py_ssize_t, number=int)
    cpdef report(self)
    @cython.locals(reset_by_peer=int)
    cdef set _broken_streams(self, list events)
    cdef _tell(self, event)
    @cython.locals(missing="long long")
    cdef _mend_window(self)
    cpdef bytes output(self)
    cpdef int ask(self, headers, bint complete) except -1
    cpdef answer(self, int number, list headers, bint complete)
    cpdef send(self, int number, bytes content, bint last)
    cpdef taken(self, int number, Py_ssize_t size)
    cpdef Py_ssize_t held(self, int number) except -1
