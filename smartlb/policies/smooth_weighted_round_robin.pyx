"""smooth_weighted_round_robin: each backend as often as its weight says, as evenly spread as can be.

nginx, src/http/ngx_http_upstream_round_robin.c: at each pick every eligible backend's current weight grows by
its weight; the greatest is picked, the first of equals, and its current weight falls by the sum of the
eligible weights. With weights 5, 1 and 1 that gives a a b a c a a. A barred backend keeps its current weight
for its return. nginx's lowering of a failing backend's weight is left out: ejection does that here.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

from smartlb.policies.policy import Policy
from smartlb.policies.weight_units import weight_units

from libc.stdint cimport uint64_t

from smartlb.policies.compiled cimport View, program


class Memory(NamedTuple):
    """What a pick leaves for the next, in weight units.

    Attributes:
        weight: of each backend.
        current: each backend's current weight; what they were owed and not yet given.
    """

    weight: Sequence[int]
    current: MutableSequence[int]


cdef struct Weights:
    const long long *weight
    long long *current


def remember(members, _options):
    """All current weights at 0."""
    return Memory(weight=weight_units(members.weight), current=array("q", bytes(8 * len(members.weight))))


cdef int pick(
    const View *pool, void *memory, int _request_class, uint64_t _key, double _now_s, const double *_draws
) noexcept nogil:
    """The eligible backend with the greatest current weight, the first of equals."""
    cdef Weights *weights = <Weights *> memory
    cdef int at, best = -1
    cdef long long nth, total = 0
    for nth in range(pool.room):
        at = pool.eligible[nth]
        total += weights.weight[at]
        weights.current[at] += weights.weight[at]
        if best < 0 or weights.current[at] > weights.current[best]:
            best = at
    weights.current[best] -= total
    return best


POLICY = Policy.of(program(pick), name="smooth_weighted_round_robin", remember=remember, keeps=("current",))
