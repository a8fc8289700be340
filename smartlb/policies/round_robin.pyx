"""round_robin: each eligible backend in turn, regardless of weight or load."""

from array import array
from collections.abc import MutableSequence
from typing import NamedTuple

from smartlb.policies.policy import Policy

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program


class Memory(NamedTuple):
    """Whose turn it is.

    Attributes:
        turn: one number, the place among those that are eligible.
    """

    turn: MutableSequence[int]


cdef struct Turns:
    long long *turn


def remember(_members, _options):
    """The first."""
    return Memory(array("q", [0]))


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t _key, double _now_s, const double *_draws
) noexcept nogil:
    """The next eligible backend."""
    cdef Turns *turns = <Turns *> memory
    cdef long long at = turns.turn[0] % pool.room
    turns.turn[0] = at + 1
    return pool.eligible[at]


POLICY = Policy.of(program(pick), name="round_robin", remember=remember)
