"""What the learned policy remembers, and what it makes of it; see `experience.pyx`."""

cdef struct Memory:
    # The parts of `smartlb.policies.learned.Memory`, in its order.
    const long long *candidates
    long long *failures
    double *expected_s
    double *slowness
    double *factor
    double *seen_s
    double *usual
    double *preference

cdef struct Pace:
    double gain
    double forgotten_s

cdef Pace ALL
cdef Pace FEW
cdef double FAILING

cdef void expect(Memory *memory, int backend, double expected_s) noexcept nogil
cdef void answered(Memory *memory, int backend, double now_s, double latency_s, Pace pace) noexcept nogil
cdef double present(const Memory *memory, int backend, double now_s, Pace pace) noexcept nogil
cdef double lag(const Memory *memory, int backend, double now_s, Pace pace) noexcept nogil
