"""What a router's latest answers say against the model: which backends are slower, or faster, than was learned.

The learner publishes a few times a second and remembers for seconds; a router sees every answer at once. Of each
backend it keeps how many times as long as expected the latest answers took, against the same over all backends. Much
noise is in that, as requests differ, so only a clear difference makes a backend dearer or cheaper, and only for as long
as answers keep saying so.

`Pace` is how fast experience is taken in and forgotten: `gain` is the weight of the latest answer in a backend's
slowness, `forgotten_s` how long it counts at most, less and less.
"""

from libc.math cimport INFINITY

# Of a router that sees all requests.
ALL = Pace(gain=0.07, forgotten_s=6.0)

# Of one that sees a few of them.
FEW = Pace(gain=0.3, forgotten_s=2.0)

# Stands in place of a factor while the latest request failed.
FAILING = 0.0

# Weight of the latest answer in what is usual over all backends.
cdef double POOL_GAIN = 0.01

# Weight of the latest request in what is expected of a backend, over the classes that go there.
cdef double EXPECTED_GAIN = 0.1

# A backend this many times slower, or faster, than the others against what is expected counts as it did before.
cdef double CLEAR = 1.5

# An answer counts as at most this many times what was expected.
cdef double FREAK = 32.0

# Least factor of a cost.
cdef double CHEAPEST = 0.1


cdef void expect(Memory *memory, int backend, double expected_s) noexcept nogil:
    """Take in what the model says of a request that is sent now."""
    if not 0.0 < expected_s < INFINITY:
        return
    cdef double before_s = memory.expected_s[backend]
    memory.expected_s[backend] = before_s + EXPECTED_GAIN * (expected_s - before_s) if before_s > 0.0 else expected_s


cdef void answered(Memory *memory, int backend, double now_s, double latency_s, Pace pace) noexcept nogil:
    """Take in how long a request took that did not fail."""
    if memory.expected_s[backend] <= 0.0:
        return
    cdef double ratio = min(latency_s / memory.expected_s[backend], FREAK)
    cdef double usual = memory.usual[0]
    memory.usual[0] = usual + POOL_GAIN * (ratio - usual)
    cdef double before = usual * lag(memory, backend, now_s, pace)
    cdef double slow = (before + pace.gain * (ratio - before)) / usual
    memory.slowness[backend] = slow
    memory.seen_s[backend] = now_s
    if slow > CLEAR:
        memory.factor[backend] = slow / CLEAR
    elif slow * CLEAR < 1.0:
        memory.factor[backend] = max(slow * CLEAR, CHEAPEST)
    else:
        memory.factor[backend] = 1.0


cdef double present(const Memory *memory, int backend, double now_s, Pace pace) noexcept nogil:
    """What failures in a row, or else slowness, make of a backend's cost now: a factor."""
    if memory.failures[backend] > 0:
        return 1.0 + memory.failures[backend]
    return 1.0 + (memory.factor[backend] - 1.0) * _fresh(memory, backend, now_s, pace)


cdef double lag(const Memory *memory, int backend, double now_s, Pace pace) noexcept nogil:
    """How many times as long as expected a backend's latest answers took, against those of all; 1 if not known."""
    return 1.0 + (memory.slowness[backend] - 1.0) * _fresh(memory, backend, now_s, pace)


cdef double _fresh(const Memory *memory, int backend, double now_s, Pace pace) noexcept nogil:
    """How far experience of a backend still counts, from 1 to 0."""
    cdef double age_s = now_s - memory.seen_s[backend]
    return max(1.0 - age_s / pace.forgotten_s, 0.0) if age_s > 0.0 else 1.0
