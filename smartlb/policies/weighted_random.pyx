"""random: any eligible backend, with a probability proportional to its configured weight.

Inverse transform sampling over the weights' running sums; what falls on a barred backend is drawn again.
After a few misses (most of the pool is barred) the eligible weights are summed instead, so the probabilities
are exact in any case.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from smartlb.policies.policy import Policy

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program
from smartlb.policies.sums cimport first_above

cdef enum:
    TRIES = 3


class Memory(NamedTuple):
    """The weights.

    Attributes:
        sums: their running sums.
    """

    sums: Sequence[float]


cdef struct Weights:
    const double *sums


def remember(members, _options):
    """The running sums of the weights."""
    return Memory(array("d", accumulate(members.weight)))


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t _key, double _now_s, const double *draws
) noexcept nogil:
    """The backend that a draw falls on; the last draw is for the sum over the eligible ones."""
    cdef const double *sums = (<Weights *> memory).sums
    cdef long long last = pool.size - 1, at
    cdef int turn
    for turn in range(TRIES):
        at = first_above(sums, draws[turn] * sums[last], 0, last)
        if pool.barred[at] == 0.0:
            return <int> at
    return among_eligible(pool, draws[TRIES])


cdef int among_eligible(const View *pool, double draw) noexcept nogil:
    cdef double total = 0.0, left
    cdef long long nth
    for nth in range(pool.room):
        total += pool.weight[pool.eligible[nth]]
    left = draw * total
    for nth in range(pool.room):
        left -= pool.weight[pool.eligible[nth]]
        if left < 0.0:
            return pool.eligible[nth]
    return pool.eligible[pool.room - 1]


POLICY = Policy.of(program(pick), name="random", remember=remember, draws=lambda _options: TRIES + 1)
