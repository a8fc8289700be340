# cython: boundscheck=False, wraparound=False
"""The writing end of a telemetry ring, and what it takes: a record by the names of its fields."""

from libc.string cimport memcpy

from smartlb.core.record import HEAD_BYTES, NO_BACKEND, NO_ROUTE, RECORD


cdef extern from *:
    """
    #define smartlb_store_release(where, what) __atomic_store_n((where), (what), __ATOMIC_RELEASE)
    """
    void smartlb_store_release(unsigned long long* where, unsigned long long what) noexcept nogil


if sizeof(Slot) != RECORD.itemsize:
    raise ImportError("the compiled telemetry record does not fit RECORD; build smartlb anew: pip install .")

cdef unsigned int _NO_BACKEND = NO_BACKEND
cdef unsigned short _NO_ROUTE = NO_ROUTE


cdef class Record:
    """One attempt at a request, made once and filled in again for each.

    Args:
        fields: values by name; those of `clear` where not given.

    Attributes:
        arrived_s, queued_s, first_byte_s, total_s, in_flight, request_bytes, response_bytes, backend, route,
            request_class, status, outcome, attempt: as `smartlb.core.record.RECORD` has them.
    """

    def __init__(self, **fields):
        self.clear(0.0)
        for name, value in fields.items():
            setattr(self, name, value)

    cpdef clear(self, double arrived_s):
        """Begin with a request that came to no route and no backend, and took no time."""
        self.arrived_s = arrived_s
        self.queued_s = self.total_s = 0.0
        self.first_byte_s = float("nan")
        self.in_flight = 0
        self.request_bytes = self.response_bytes = 0
        self.backend = _NO_BACKEND
        self.route = _NO_ROUTE
        self.request_class = self.status = self.outcome = 0
        self.attempt = 1


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

    cpdef append(self, Record record):
        """Append one record."""
        cdef Slot slot
        slot.arrived_s = record.arrived_s
        slot.queued_s = <float>record.queued_s
        slot.first_byte_s = <float>record.first_byte_s
        slot.total_s = <float>record.total_s
        slot.in_flight = record.in_flight
        slot.request_bytes = record.request_bytes
        slot.response_bytes = record.response_bytes
        slot.backend = record.backend
        slot.route = record.route
        slot.request_class = record.request_class
        slot.status = record.status
        slot.outcome = record.outcome
        slot.attempt = <unsigned char>min(record.attempt, 255)
        memcpy(self._slots + (self._written % self._capacity) * sizeof(Slot), &slot, sizeof(Slot))
        self._written += 1
        smartlb_store_release(self._head, self._written)
