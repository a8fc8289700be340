cimport cython

from smartlb.http2.frames cimport FrameCount

cdef long long _UPDATES_EARNED
cdef long long _MOST_UPDATES


@cython.final
cdef class FloodGuard:
    cdef object _control_frames
    cdef object _resets
    cdef FrameCount _in
    cdef FrameCount _out
    cdef long long _heard
    cdef long long _updates_earned
    cdef long long _control_seen
    cdef long long _updates_seen
    cdef long long _unheeded_seen
    cdef long long _worthwhile_seen

    cpdef sent(self, bytes data)
    cpdef heard(self)
    @cython.locals(updates="long long", excess="long long")
    cpdef bint receives(self, bytes data, double now_s) except -1
    @cython.locals(unheeded="long long", fresh="long long")
    cpdef bint received(self, double now_s) except -1
    cpdef bint empty_data(self, double now_s) except -1
    cpdef bint reset(self, double now_s) except -1
    cdef bint _take(self, long long count, double now_s) except -1
