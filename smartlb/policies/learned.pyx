"""learned: the lowest predicted cost at the present load, by what the learner publishes.

The learner's costs hold the slow truth (speed, proneness to errors, affinity of a class to a backend), the in-flight
counts the fast one. Routers that share the model but not their counts would all choose the same; they divide their
requests by learned weight instead, see `smartlb.policies.apart`. Now and then a request goes where nothing was learned
for a while; see docs/learning.md.
"""

from array import array
from collections.abc import MutableSequence
from typing import NamedTuple

from pydantic import Field

from smartlb.policies.policy import Policy, PolicyOptions

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

from smartlb.policies.apart cimport pick_apart
from smartlb.policies.compiled cimport View, program
from smartlb.policies.experience cimport ALL, FAILING, FEW, answered, expect, present
from smartlb.policies.experience cimport Memory as Noticed
from smartlb.policies.sums cimport first_above


class Options(PolicyOptions):
    """Options of the learned policy."""

    candidates: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many backends are drawn by learned weight and compared; 0 compares all. Routers that see less "
        "than half of the requests in flight do not compare costs, and pay no regard to this.",
    )


# A router that sees less than this share of what is in flight does not choose the cheapest: others would all choose
# the same one at the same time.
cdef double HALF = 0.5

# More failures in a row make no difference.
cdef long long MOST_FAILURES = 1000

# A preference that has not been drawn.
cdef double UNDECIDED = -1.0


class Memory(NamedTuple):
    """What a router notices between two snapshots.

    Attributes:
        candidates: the option.
        failures: how many requests in a row failed at each backend, up to now.
        expected_s: latency that the model expects of what goes to each backend; 0.0 where nothing did.
        slowness: how many times as long the latest answers took, against those of all backends.
        factor: what that makes of the cost, unless failures do; 1.0 where it is not clear.
        seen_s: when the latest of them came.
        usual: one number; how many times as long as expected answers take over all backends.
        preference: one number from 0 to 1, of a router that sees little; see `smartlb.policies.apart`.
    """

    candidates: int
    failures: MutableSequence[int]
    expected_s: MutableSequence[float]
    slowness: MutableSequence[float]
    factor: MutableSequence[float]
    seen_s: MutableSequence[float]
    usual: MutableSequence[float]
    preference: MutableSequence[float]


def remember(members, options):
    """Nothing has failed, and nothing is slower than expected."""
    size = len(members.names)
    zeros = bytes(8 * size)
    return Memory(
        candidates=options.candidates,
        failures=array("q", zeros),
        expected_s=array("d", zeros),
        slowness=array("d", [1.0] * size),
        factor=array("d", [1.0] * size),
        seen_s=array("d", zeros),
        usual=array("d", [1.0]),
        preference=array("d", [UNDECIDED]),
    )


cdef int pick(
    const View *pool, void *noticed, int request_class, uint64_t _key, double now_s, const double *draws
) noexcept nogil:
    """The cheapest of all or of the drawn; the first draw says whether the request explores instead.

    Backends that have filled up since their sums were made are drawn still; then it is the cheapest of all.
    """
    cdef Noticed *memory = <Noticed *> noticed
    cdef long long row = request_class * pool.size
    # The last that can be drawn; beyond it rounding, or a row without any weight, would lead to a barred one.
    cdef long long last = row + pool.eligible[pool.room - 1]
    cdef int at
    if draws[0] < pool.explore[row + pool.size - 1]:
        at = <int> (first_above(pool.explore, draws[0], row, last) - row)
        if pool.barred[at] == 0.0:
            return at
    if pool.sight < HALF:
        return pick_apart(pool, memory, request_class, now_s, draws[1])
    at = _cheapest_drawn(pool, memory, row, last, now_s, draws) if memory.candidates[0] else NOT_DRAWN
    if at == NOT_DRAWN:
        at = _cheapest(pool, memory, row, now_s, draws[1])
    expect(memory, at, pool.base_s[row + at] + pool.slope_s[row + at] * pool.in_flight[at])
    return at


cdef enum:
    NOT_DRAWN = -1


cdef inline double _cost(const View *pool, const Noticed *memory, long long row, int at, double now_s) noexcept nogil:
    cdef double cost = pool.base_s[row + at] + pool.slope_s[row + at] * pool.in_flight[at]
    if memory.factor[at] != 1.0:
        cost *= present(memory, at, now_s, ALL)
    return cost


cdef int _cheapest_drawn(
    const View *pool, const Noticed *memory, long long row, long long last, double now_s, const double *draws
) noexcept nogil:
    """Of as many as the option says, drawn by weight; `NOT_DRAWN` where all of them are barred."""
    cdef double total = pool.draw[row + pool.size - 1], cost, lowest = INFINITY
    cdef int at, best = NOT_DRAWN
    cdef long long turn
    for turn in range(1, 1 + memory.candidates[0]):
        at = <int> (first_above(pool.draw, draws[turn] * total, row, last) - row)
        if pool.barred[at] != 0.0:
            continue
        cost = _cost(pool, memory, row, at, now_s)
        if best == NOT_DRAWN or cost < lowest:
            best = at
            lowest = cost if cost < lowest else lowest
    return best


cdef int _cheapest(
    const View *pool, const Noticed *memory, long long row, double now_s, double draw
) noexcept nogil:
    """Of all; of equals the first at or after a random one, going round."""
    cdef int at, best = -1, start = pool.eligible[<long long> (draw * pool.room)]
    cdef double cost, lowest = INFINITY
    cdef long long nth
    for nth in range(pool.room):
        at = pool.eligible[nth]
        cost = _cost(pool, memory, row, at, now_s)
        if cost < lowest or (best < start <= at and cost == lowest):
            best, lowest = at, cost
    return best if lowest < INFINITY else start


cdef void observe(void *noticed, int backend, double now_s, double latency_s, bint failed) noexcept nogil:
    """Count failures in a row: each makes the backend as much dearer as it was, until the learner knows.

    A backend that fails at once never has anything in flight, and would draw all traffic until the next snapshot.
    """
    cdef Noticed *memory = <Noticed *> noticed
    if failed:
        memory.failures[backend] = min(memory.failures[backend] + 1, MOST_FAILURES)
        memory.factor[backend] = FAILING
    else:
        memory.failures[backend] = 0
        answered(memory, backend, now_s, latency_s, ALL if memory.preference[0] == UNDECIDED else FEW)


POLICY = Policy.of(
    program(pick, observe, by_class=True),
    name="learned",
    options=Options,
    remember=remember,
    draws=lambda options: 1 + (options.candidates or 1),
    keeps=("failures", "expected_s", "slowness", "factor", "seen_s", "usual", "preference"),
)
