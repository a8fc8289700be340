cimport cython


cdef packed struct Slot:
    # As `smartlb.core.record.RECORD` has it.
    double arrived_s
    float queued_s
    float first_byte_s
    float total_s
    unsigned int in_flight
    unsigned long long request_bytes
    unsigned long long response_bytes
    unsigned int backend
    unsigned short route
    unsigned short request_class
    unsigned short status
    unsigned char outcome
    unsigned char attempt


@cython.final
cdef class Record:
    cdef public double arrived_s
    cdef public double queued_s
    cdef public double first_byte_s
    cdef public double total_s
    cdef public unsigned int in_flight
    cdef public unsigned long long request_bytes
    cdef public unsigned long long response_bytes
    cdef public unsigned int backend
    cdef public unsigned short route
    cdef public unsigned short request_class
    cdef public unsigned short status
    cdef public unsigned char outcome
    cdef public unsigned int attempt

    cpdef clear(self, double arrived_s)


@cython.final
cdef class RingWriter:
    cdef unsigned char[::1] _buffer
    cdef unsigned long long* _head
    cdef unsigned char* _slots
    cdef unsigned long long _capacity
    cdef unsigned long long _written

    cpdef append(self, Record record)
