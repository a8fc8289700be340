"""How a compiled policy is called: by the router in C, by the simulator at its functions' addresses, by tests.

A compiled policy is two C functions, `pick` and `observe`, over structs of pointers. There is no second implementation:
the router's workers and the simulator's kernel call the same machine code.
"""

from array import array as make_array

cimport cython
from cpython.array cimport array
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from libc.stdint cimport uint64_t

cdef enum:
    _MOST_PARTS = 12
    _MOST_DRAWS = 16
    _NOBODY = -1

NOBODY = _NOBODY
"""What a pick returns where no backend may be picked."""


cdef class Program:
    """The compiled functions of a policy.

    Attributes:
        by_class: whether it reads the learned rows of a request's class.
    """

    @property
    def pick_address(self):
        """Where the machine code of `pick` begins; the form is `PickFunction`."""
        return <size_t> self._pick

    @property
    def observe_address(self):
        """Where that of `observe` begins, as `ObserveFunction`; 0 where the policy does not measure."""
        return <size_t> self._observe

    @property
    def measures(self):
        """Whether there is an `observe`."""
        return self._observe != NULL

    def pick(self, view, memory, int request_class, uint64_t key, double now_s, draws):
        """Pick once, with given draws; for tests and other callers in Python.

        Args:
            view: a `PoolView`.
            memory: as `Policy.remember` builds it; arrays are changed.
            request_class: row of the learned sequences.
            key: hash of what the policy asked for.
            now_s: monotonic time.
            draws: as many as `Policy.draws` says, from 0.0 to below 1.0.

        Returns:
            A position; `NOBODY` where none is eligible.

        Raises:
            ValueError: the sequences do not fit each other.
            IndexError: nothing is known of the request class.
        """
        cdef Seen seen = Seen(view)
        cdef Parts parts = Parts(memory)
        cdef double drawn[_MOST_DRAWS]
        for nth, draw in enumerate(draws):
            if nth == _MOST_DRAWS:
                raise ValueError(f"a pick takes at most {_MOST_DRAWS} draws, not {len(draws)}")
            drawn[nth] = draw
        return picked(self, seen, parts, request_class, key, now_s, drawn)

    def observe(self, memory, int backend, double now_s, double latency_s, bint failed):
        """Take in how a request ended; for tests and other callers in Python."""
        cdef Parts parts = Parts(memory)
        if not 0 <= backend < parts.longest:
            raise IndexError(f"the policy remembers {parts.longest} backends; there is none at {backend}")
        self._observe(parts.at, backend, now_s, latency_s, failed)


cdef Program program(PickFunction pick, ObserveFunction observe=NULL, bint by_class=False):
    """The program of a policy: its `pick`, its `observe` if it measures, and whether it reads learned rows."""
    cdef Program made = Program()
    made._pick = pick
    made._observe = observe
    made.by_class = by_class
    return made


cdef int picked(
    Program program, Seen seen, Parts parts, int request_class, uint64_t key, double now_s, const double *draws
) except -2:
    # The pool lengthens and shortens it between two picks.
    seen.view.eligible = seen.eligible.data.as_ints
    seen.view.room = len(seen.eligible)
    if seen.view.room == 0:
        return _NOBODY
    if program.by_class and not 0 <= request_class < seen.classes:
        raise IndexError(f"nothing is learned of request class {request_class}: there are {seen.classes}")
    return program._pick(&seen.view, parts.at, request_class, key, now_s, draws)


cdef void *buffer_of(object values, str kind, list held) except? NULL:
    """Where the numbers of an array begin; it cannot change its length while `held` lives."""
    if len(values) == 0:
        return NULL
    view = memoryview(values)
    if view.format != kind or not view.c_contiguous:
        raise ValueError(f"expected numbers of type {kind!r} one after the other, not {view.format!r}")
    held.append(view)
    return PyMemoryView_GET_BUFFER(view).buf


cdef class Seen:
    """A `PoolView` with pointers into its sequences.

    Raises:
        ValueError: the sequences do not fit each other, or their numbers are of other types.
    """

    def __cinit__(self, view):
        cdef list held = []
        self.eligible = view.eligible
        if self.eligible.ob_descr.typecode != c"i":
            raise ValueError("expected `eligible` as an array of type 'i'")
        self.view.size = len(view.weight)
        self.view.weight = <const double *> buffer_of(view.weight, "d", held)
        self.view.barred = <const double *> buffer_of(view.barred, "d", held)
        self.view.in_flight = <const int *> buffer_of(view.in_flight, "i", held)
        self.view.draw = <const double *> buffer_of(view.draw, "d", held)
        self.view.explore = <const double *> buffer_of(view.explore, "d", held)
        self.view.base_s = <const double *> buffer_of(view.base_s, "d", held)
        self.view.slope_s = <const double *> buffer_of(view.slope_s, "d", held)
        self.view.sight = view.sight
        self.held = held
        rows = {len(part) for part in (view.draw, view.explore, view.base_s, view.slope_s)}
        if len(view.barred) != self.view.size or len(view.in_flight) != self.view.size:
            raise ValueError(f"the pool has {self.view.size} weights; `barred` and `in_flight` must be as long")
        if self.view.size == 0 or len(rows) != 1 or next(iter(rows)) % self.view.size:
            raise ValueError(f"learned rows of {self.view.size} backends cannot have {sorted(rows)} numbers")
        self.classes = next(iter(rows)) // self.view.size


cdef class Parts:
    """A memory with pointers to its parts; a single number is kept as an array of one.

    Raises:
        ValueError: it has too many parts.
    """

    def __cinit__(self, memory):
        cdef list held = []
        cdef int nth = 0
        if len(memory) > _MOST_PARTS:
            raise ValueError(f"a memory has at most {_MOST_PARTS} parts, not {len(memory)}")
        self.longest = 0
        for part in memory:
            if isinstance(part, int | float):
                part = make_array("q" if isinstance(part, int) else "d", [part])
            self.at[nth] = buffer_of(part, part.typecode, held)
            self.longest = max(self.longest, len(part))
            nth += 1
        self.held = held


@cython.final
cdef class CompiledPolicy:
    """A policy of one pool in one worker, ready to be asked; `see` comes before the first pick.

    Args:
        program: of the policy.
        memory: as `Policy.remember` builds it.
        size: how many positions the pool has, now and later.
        draws: how many random numbers a pick takes.
        seed: of those.
        renew: ``renew(memory, members, same)`` makes the memory for other members.

    Attributes:
        memory: what the policy remembers now.
    """

    def __init__(self, Program program, memory, long long size, int draws, seed, renew):
        cdef int nth
        if draws > _MOST_DRAWS:
            raise ValueError(f"a pick takes at most {_MOST_DRAWS} draws, not {draws}")
        self._program = program
        self._size = size
        self._drawn = draws
        self._renew = renew
        self._remember(memory)
        # Spread over the generator's state by splitmix64, as its authors advise.
        cdef uint64_t state = seed & 0xFFFFFFFFFFFFFFFF
        cdef uint64_t mixed
        for nth in range(4):
            state += <uint64_t> 0x9E3779B97F4A7C15
            mixed = (state ^ (state >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
            mixed = (mixed ^ (mixed >> 27)) * <uint64_t> 0x94D049BB133111EB
            self._state[nth] = mixed ^ (mixed >> 31)

    cpdef see(self, view):
        """Take in a new `PoolView`.

        `eligible` may change its length afterwards, and all numbers may change; a pick sees them as they are.

        Raises:
            ValueError: the sequences do not fit each other or the pool, or their numbers are of other types.
        """
        cdef Seen seen = Seen(view)
        if seen.view.size != self._size:
            raise ValueError(f"the pool has {self._size} positions, the view {seen.view.size}")
        self._seen = seen

    cpdef renew(self, members, same):
        """Go on with other members, in as many positions.

        Args:
            members: as they are now.
            same: positions of the backends that are still the same ones; what is known of them is kept.
        """
        self._remember(self._renew(self.memory, members, same))

    cdef _remember(self, memory):
        self._parts = Parts(memory)
        self.memory = memory

    cpdef int pick(self, int request_class, uint64_t key, double now_s) except -2:
        """The position of a backend for a request, or `NOBODY`."""
        cdef double draws[_MOST_DRAWS]
        cdef int nth
        for nth in range(self._drawn):
            draws[nth] = self._draw()
        return picked(self._program, self._seen, self._parts, request_class, key, now_s, draws)

    cpdef void observe(self, int position, double now_s, double latency_s, bint failed) noexcept:
        """Take in how a request ended; nothing for a policy that does not measure."""
        if self._program._observe != NULL and 0 <= position < self._size:
            self._program._observe(self._parts.at, position, now_s, latency_s, failed)

    cdef double _draw(self) noexcept nogil:
        """From 0.0 to below 1.0, by xoshiro256+ of Blackman and Vigna, https://prng.di.unimi.it/xoshiro256plus.c."""
        cdef uint64_t *state = self._state
        cdef uint64_t drawn = state[0] + state[3]
        cdef uint64_t shifted = state[1] << 17
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = (state[3] << 45) | (state[3] >> 19)
        return <double> (drawn >> 11) * 2.0**-53

    @property
    def measures(self):
        """Whether `observe` does anything."""
        return self._program._observe != NULL

    def pick_often(self, int count, int request_class, uint64_t key, double now_s):
        """Pick `count` times, for keys that are far apart, and return the last position.

        It measures a pick as compiled code calls it.
        """
        cdef int position = _NOBODY
        for _ in range(count):
            position = self.pick(request_class, key, now_s)
            key += <uint64_t> 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
        return position

    def observe_often(self, int count, int position, double now_s, double latency_s):
        """Observe the same answer `count` times."""
        for _ in range(count):
            self.observe(position, now_s, latency_s, False)

    def draw_once(self):
        """The next random number."""
        return self._draw()
