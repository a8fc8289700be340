cimport cython

@cython.final
cdef class RingWriter:
    cdef unsigned char[::1] _buffer
    cdef unsigned long long* _head
    cdef unsigned char* _slots
    cdef unsigned long long _capacity
    cdef unsigned long long _written

    cpdef write(
        self,
        double arrived_s,
        double queued_s,
        double first_byte_s,
        double total_s,
        unsigned int in_flight,
        unsigned long long request_bytes,
        unsigned long long response_bytes,
        unsigned int backend,
        unsigned int route,
        unsigned int request_class,
        unsigned int status,
        unsigned int outcome,
        unsigned int attempt,
    )
