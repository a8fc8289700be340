"""The writing end of a telemetry ring."""

from libc.string cimport memcpy

from smartlb.core.record import HEAD_BYTES, RECORD


cdef extern from *:
    """
    #define smartlb_store_release(where, what) __atomic_store_n((where), (what), __ATOMIC_RELEASE)
    """
    void smartlb_store_release(unsigned long long* where, unsigned long long what) noexcept nogil


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


if sizeof(Slot) != RECORD.itemsize:
    raise ImportError("the compiled telemetry record does not fit RECORD; build smartlb anew: pip install .")


cdef class RingWriter:
    """The writing end of a ring over a shared buffer; it resumes where an earlier writer stopped.

    A record is whole before the head moves past it, on every processor.

    Args:
        buffer: writable, of `ring_bytes(capacity)` bytes, zeroed when new.
        capacity: how many records the ring holds.
    """

    def __init__(self, buffer, unsigned long long capacity):
        self._buffer = buffer
        self._head = <unsigned long long*>&self._buffer[0]
        self._slots = &self._buffer[<Py_ssize_t>HEAD_BYTES]
        self._capacity = capacity
        self._written = self._head[0]

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
    ):
        """Append one record; the arguments are the fields of `smartlb.core.record.RECORD`."""
        cdef Slot slot
        slot.arrived_s = arrived_s
        slot.queued_s = <float>queued_s
        slot.first_byte_s = <float>first_byte_s
        slot.total_s = <float>total_s
        slot.in_flight = in_flight
        slot.request_bytes = request_bytes
        slot.response_bytes = response_bytes
        slot.backend = backend
        slot.route = <unsigned short>route
        slot.request_class = <unsigned short>request_class
        slot.status = <unsigned short>status
        slot.outcome = <unsigned char>outcome
        slot.attempt = <unsigned char>min(attempt, 255)
        memcpy(self._slots + (self._written % self._capacity) * sizeof(Slot), &slot, sizeof(Slot))
        self._written += 1
        smartlb_store_release(self._head, self._written)
