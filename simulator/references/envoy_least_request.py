"""envoy_least_request: of few random backends the one with the fewest requests; with unequal weights, round robin.

Envoy, docs/.../load_balancing/load_balancers.rst and source/.../least_request_lb.cc. With equal weights `choices`
backends are drawn, with replacement, and the first drawn of those with the fewest requests in flight is picked. With
unequal ones it is earliest deadline first: a backend that is picked is due again after (in flight + 1)^bias / weight,
by the requests in flight when it is picked, on a clock that stands at the last deadline; ties go to the one that was
put in first. In the source's words, a backend "will never truly drain": one that has filled up since is found out at
its turn only.

The schedule starts with all backends in their order, and as many picks as a random number says are skipped. Envoy makes
a new one whenever a backend comes or goes; here a backend that was away keeps its deadline, brought up to the clock
when it is picked. Slow start, locality and panic mode are left out.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.earliest import earliest
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions


class Options(PolicyOptions):
    """Options of envoy_least_request."""

    choices: int = Field(default=2, ge=2, le=64, description="How many backends are drawn where weights are equal.")
    bias: float = Field(
        default=1.0, ge=0, le=8, description="How much requests in flight count where weights are not equal."
    )


class Memory(NamedTuple):
    """The schedule.

    Attributes:
        deadline: of each backend.
        order: when each was put in.
        put: ``[1]``; how often one was put in; 0 before the first pick.
        clock: ``[1]``; the last deadline that was picked.
        equal: 1 if all weights are equal.
        bias: the option.
    """

    deadline: MutableSequence[float]
    order: MutableSequence[int]
    put: MutableSequence[int]
    clock: MutableSequence[float]
    equal: int
    bias: float


def remember(members: Members, options: Options) -> Memory:
    """Nothing scheduled yet."""
    zeros = bytes(8 * len(members.names))
    equal = int(len(set(members.weight)) == 1)
    return Memory(array("d", zeros), array("q", zeros), array("q", [0]), array("d", [0.0]), equal, options.bias)


def pick(
    pool: PoolView,
    _world: World,
    memory: Memory,
    _request_class: int,
    _key: int,
    _now_s: float,
    draws: Sequence[float],
) -> int:
    """By draws where weights are equal, otherwise by schedule."""
    if memory.equal:
        return _fewest(pool, draws)
    if memory.put[0] == 0:
        size = len(pool.weight)
        for at in range(size):
            _put(pool, memory, at)
        for _ in range(int(draws[0] * size)):
            _turn(pool, memory)
    return _turn(pool, memory)


def _fewest(pool: PoolView, draws: Sequence[float]) -> int:
    eligible, in_flight = pool.eligible, pool.in_flight
    count = len(eligible)
    best = eligible[int(draws[0] * count)]
    for nth in range(1, len(draws)):
        at = eligible[int(draws[nth] * count)]
        if in_flight[at] < in_flight[best]:
            best = at
    return best


def _turn(pool: PoolView, memory: Memory) -> int:
    best = earliest(pool.eligible, memory.deadline, memory.order)
    memory.clock[0] = max(memory.clock[0], memory.deadline[best])
    _put(pool, memory, best)
    return best


def _put(pool: PoolView, memory: Memory, backend: int) -> None:
    period = (pool.in_flight[backend] + 1.0) ** memory.bias / pool.weight[backend]
    memory.deadline[backend] = memory.clock[0] + period
    memory.order[backend] = memory.put[0]
    memory.put[0] += 1


REFERENCE = Reference(
    name="envoy_least_request",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda options: options.choices,
)
