"""The one clock of the data path."""

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef class Clock:
    """Monotonic time.

    Attributes:
        ahead_s: what a test adds to it, so that nothing has to wait; 0 otherwise.
    """

    def __init__(self):
        self.ahead_s = 0.0

    cpdef double now(self) noexcept:
        """The time in seconds."""
        cdef timespec time
        clock_gettime(CLOCK_MONOTONIC, &time)
        return <double>time.tv_sec + 1e-9 * <double>time.tv_nsec + self.ahead_s
