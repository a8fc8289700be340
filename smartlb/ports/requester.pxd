from smartlb.wire.http1 cimport HeaderBlock


cdef class Requester:
    cdef public double deadline_s
    cdef public bint write_paused
    cdef public object transport

    cpdef str client(self, HeaderBlock block)
    cpdef adjust_reading(self)
    cpdef expect_body(self, double now_s)
    cpdef answer(self, outcome, message, bint keep_alive, bint body)
    cpdef answer_with(self, bytes head, bytes body, bint keep_alive)
    cpdef bytes hand_over(self, protocol)
    cpdef tunnel_over(self, exc)
    cpdef exchange_over(self, bint keep_alive, double now_s)
    cpdef abort_exchange(self, bint at_once)
