# cython: boundscheck=False, wraparound=False, cdivision=True
"""Token buckets that several processes share, one for each of many clients.

The table is a piece of shared memory, all zeros at first. A slot of it is two words of 64 bits: the key of a client,
and the time at which its bucket is full again, the bits of a double. All processes must read the same monotonic clock.

Nothing is locked, so a process that is stopped or killed holds up nobody:

- A token is taken by one compare-and-swap of the time. It fails if another process took one meanwhile; then the
  arithmetic is done again.
- A slot is given to another client in three steps: its key becomes a mark, its time becomes "full now", the mark becomes
  the new key. Whoever takes a token reads the time first and the key after it. If the key is still his, so was the time;
  if the slot changes hands after that, so does the time, and his compare-and-swap fails.
- A mark says when it was set. What a killed process leaves half done is taken over a second later.

A key can lie in `_WINDOW` slots only (open addressing with a bounded probe), and all of them are read. A bucket that is
full tells nothing that an empty slot does not, so such slots are used again first. Only if every bucket in the window is
still filling is one lost: the one that is full soonest. Its client gets what it would have had a little later, and no
client that has used up its burst is forgotten while there is another one to forget: who is refused does not get rid of
that by making up clients, unless each of them is as far behind.

If two processes see a client for the first time at the same moment, each may find a slot for it, and from then on the
first of the two counts. So at most one request for each further process goes uncounted, and none is refused that the
arithmetic would let pass.
"""

from libc.stdint cimport uint64_t, uintptr_t

from smartlb.limits.token_bucket cimport TokenBucket

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint64_t word_load(uint64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

    static inline int word_swap(uint64_t *word, uint64_t old, uint64_t next) {
        return __atomic_compare_exchange_n(word, &old, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }

    static inline double word_to_seconds(uint64_t word) { double s; memcpy(&s, &word, 8); return s; }

    static inline uint64_t word_of_seconds(double s) { uint64_t word; memcpy(&word, &s, 8); return word; }
    """
    uint64_t word_load(uint64_t *word) nogil
    bint word_swap(uint64_t *word, uint64_t old, uint64_t next) nogil
    double word_to_seconds(uint64_t word) nogil
    uint64_t word_of_seconds(double s) nogil

cdef enum:
    _LINE = 4  # slots in a cache line of 64 bytes; a window begins with one
    _WINDOW = 16  # half a full table's slots are free, so a window without a free one is rare
    _CLAIMS = 8  # as often others may be faster at a window's slots before a request passes uncounted

cdef uint64_t _MARK = <uint64_t>1 << 63
cdef uint64_t _ABANDONED_NS = 1_000_000_000  # three steps take a microsecond, so the process is dead or as good as dead

SLOT_BYTES = sizeof(Slot)


def bytes_for(clients: int) -> int:
    """The memory that a table for so many clients takes: two slots each, so that they rarely get in each other's way."""
    return SLOT_BYTES * max(_WINDOW, -(-2 * clients // _LINE) * _LINE)


cdef class SharedBuckets:
    """Buckets of one size and rate over a piece of memory.

    Args:
        memory: as many bytes as `bytes_for` says, shared by the processes that count together.
        per_s: tokens that each bucket gets a second.
        burst: tokens that it holds.

    Raises:
        ValueError: the memory is no table.
    """

    def __init__(self, memory, double per_s, double burst):
        cdef unsigned char[::1] view = memory
        if view.shape[0] < _WINDOW * <Py_ssize_t>sizeof(Slot) or view.shape[0] % (_LINE * sizeof(Slot)):
            raise ValueError(f"{view.shape[0]} bytes are no table of buckets; bytes_for() says how many are")
        if <uintptr_t>&view[0] % 8:
            raise ValueError("a table of buckets begins at a multiple of 8 bytes")
        self._memory = view
        self._slots = <Slot *>&view[0]
        self._lines = view.shape[0] // (_LINE * sizeof(Slot))
        self._bucket = TokenBucket(per_s, burst)

    cpdef double take(self, uint64_t key, double now_s) noexcept:
        """Take a token from a client's bucket.

        Args:
            key: the client's, a hash of 64 bits; the highest bit makes no difference.
            now_s: monotonic time.

        Returns:
            0 where there was a token; otherwise the seconds until there is one.
        """
        cdef uint64_t first, full_at
        cdef Slot *slot
        cdef double full_at_s, wait_s
        cdef int claims = 0
        key &= ~_MARK
        if not key:
            key = 1  # 0 is nobody's
        first = key % self._lines * _LINE
        while True:
            slot = self._find(key, first)
            if slot is NULL:
                if claims == _CLAIMS:
                    return 0.0
                claims += 1
                slot = self._claim(key, first, now_s)
                if slot is NULL:
                    continue
            while True:
                full_at = word_load(&slot.full_at)
                if word_load(&slot.key) != key:
                    break
                full_at_s = word_to_seconds(full_at)
                wait_s = self._bucket.wait_s(full_at_s, now_s)
                if wait_s > 0.0:
                    return wait_s
                if word_swap(&slot.full_at, full_at, word_of_seconds(self._bucket.taken(full_at_s, now_s))):
                    return 0.0

    cdef Slot *_at(self, uint64_t first, int step) noexcept:
        cdef uint64_t at = first + step
        cdef uint64_t slots = self._lines * _LINE
        return &self._slots[at if at < slots else at - slots]

    cdef Slot *_find(self, uint64_t key, uint64_t first) noexcept:
        """The slot that a key has; NULL where it has none."""
        cdef int step
        cdef Slot *slot
        for step in range(_WINDOW):
            slot = self._at(first, step)
            if word_load(&slot.key) == key:
                return slot
        return NULL

    cdef Slot *_claim(self, uint64_t key, uint64_t first, double now_s) noexcept:
        """Give a key the slot of its window that is full, or will be, before all others; NULL where others were faster."""
        cdef uint64_t now_ns = <uint64_t>(now_s * 1e9)
        cdef uint64_t mark = _MARK | now_ns
        cdef uint64_t owner, full_at, fresh, found = 0
        cdef Slot *slot
        cdef Slot *best = NULL
        cdef double full_at_s, best_s = 0.0
        cdef int step
        for step in range(_WINDOW):
            slot = self._at(first, step)
            owner = word_load(&slot.key)
            if owner == key:
                return slot
            if owner & _MARK and now_ns < (owner & ~_MARK) + _ABANDONED_NS:
                continue
            full_at_s = word_to_seconds(word_load(&slot.full_at))
            if best is NULL or full_at_s < best_s:
                best, best_s, found = slot, full_at_s, owner
        if best is NULL or not word_swap(&best.key, found, mark):
            return NULL
        while True:
            full_at = word_load(&best.full_at)
            if word_load(&best.key) != mark:
                return NULL
            fresh = word_of_seconds(now_s)
            if fresh == full_at:
                fresh -= 1  # any other value, so that who has read this one cannot swap it
            if word_swap(&best.full_at, full_at, fresh):
                break
        if not word_swap(&best.key, mark, key):
            return NULL
        return best
