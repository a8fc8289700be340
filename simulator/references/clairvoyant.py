"""clairvoyant: knows what every request takes and how every backend is, and goes to where it costs least.

Not a policy that could be built, but what others are measured against: nothing is estimated, nothing is late. The cost
of a backend is

    own + later × share × (own - work × 3 / 4)

where `own` is the seconds until the request would end there, with the delay of those that are served there already,
`work` is what it takes there with nothing else to do, and `share` is that as a multiple of what an average request
takes there. The second term is what requests that have not come yet lose. It has the form of one step of policy
iteration for first-come-first-served queues (Hyytiä, Penttinen, Aalto, Size- and state-aware dispatching problem with
queue-specific job sizes, EJOR 217, 2012), which is load / (1 - load) × share × (wait + work / 2); a quarter in place of
the half gave lower means and percentiles, as with several cores not all of the work is in somebody's way. By its end
alone (`later` 0) a request takes more of the fast backends than they can spare, and when all queues are long it goes
where it works several times as long for a little less waiting, which near saturation costs most of the capacity.

What is exact, and what is not:

- First come, first served (no more slots than cores, no growth): `own` is exact if nothing changes: the first free
  core, or now, plus the work. A request that was given up while it waited stays in the backend's lanes, so that after
  timeouts a backend looks busier than it is.
- Shared cores, growing batches: all that is served has a known remaining work and progresses alike. With n(x) of them
  having more than x left, and g(k) the seconds that a unit of work takes while k are served, the request ends after the
  integral of g(n(x) + 1) from 0 to its work; others are late by that of n(x) times what their share of the cores
  shrinks. Both are exact if nobody comes. What growth does to others is left out, as counting it made results worse.
  The world tells of a request whose first byte is apart from its end only the nearer of both, so it is taken to be
  shorter than it is until its first byte.
- Where such a backend has no free slot, the works of those that wait are not known; the mean of the works seen stands
  for them, and the slots are taken to stay in use.
- Random failures and slow requests are known by their probability, not beforehand.

A backend that fails requests is charged the probability of it times `failure_s`. One that is paused, is full, has
crashed or hangs is worse than any that is not, in this order. Ties go to a random start.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Final, NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions

PAUSED_S: Final = 1e6
FULL_S: Final = 1e9
CRASHED_S: Final = 1e12
HANGING_S: Final = 1e15

_IN_THE_WAY: Final = 0.25
"""The part of a request's own work that counts as delay of later ones."""


class Options(PolicyOptions):
    """Options of clairvoyant."""

    later: float = Field(
        default=8.0,
        ge=0,
        le=1000,
        description="How much the delay of later requests counts; load / (1 - load) for one queue by itself.",
    )
    failure_s: float = Field(
        default=10.0,
        ge=0,
        le=1e5,
        description="How much longer a request would rather take than fail.",
    )


class Memory(NamedTuple):
    """What is computed once, and a mean.

    Attributes:
        speed: mean over the request classes of each backend's speed; 0.0 until it is known.
        work: sum and number of the works seen.
        later, failure_s: the options.
    """

    speed: MutableSequence[float]
    work: MutableSequence[float]
    later: float
    failure_s: float


def remember(members: Members, options: Options) -> Memory:
    """Nothing seen."""
    zeros = bytes(8 * len(members.names))
    return Memory(array("d", zeros), array("d", [0.0, 0.0]), options.later, options.failure_s)


def pick(
    pool: PoolView, world: World, memory: Memory, request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """The eligible backend with the least cost."""
    if memory.speed[0] == 0.0:
        _mean_speeds(world, memory)
    memory.work[0] += world.work_s[0]
    memory.work[1] += 1.0
    eligible = pool.eligible
    count = len(eligible)
    start = int(draws[0] * count)
    best = eligible[start]
    least = cost_s(world, memory, best, request_class, now_s)
    for step in range(start + 1, start + count):
        at = eligible[step - count if step >= count else step]
        value = cost_s(world, memory, at, request_class, now_s)
        if value < least:
            best, least = at, value
    return best


def _mean_speeds(world: World, memory: Memory) -> None:
    classes = world.speed.shape[1]
    for at in range(len(memory.speed)):
        total = 0.0
        for request_class in range(classes):
            total += world.speed[at, request_class]
        memory.speed[at] = total / classes


def cost_s(world: World, memory: Memory, backend: int, request_class: int, now_s: float) -> float:
    """What the request that is being routed costs at `backend`, in seconds."""
    server = world.servers[backend]
    if server.hanging != 0:
        return HANGING_S
    if server.crashed != 0:
        return CRASHED_S
    if server.serving + server.waiting >= server.room:
        return FULL_S
    tail = 1.0 + server.tail * (server.tail_factor - 1.0)
    work_v = world.work_s[0] / world.speed[backend, request_class] * tail
    mean_v = memory.work[0] / memory.work[1] / memory.speed[backend]
    now_v = server.virtual_s + (now_s - server.since_s) * server.rate
    if server.slots <= server.cores and server.growth <= 0.0:
        own_v = _wait_v(world, backend, now_v) + work_v
    else:
        own_v = _shared_v(world, backend, now_v, work_v, mean_v)
    cost_v = own_v + memory.later * work_v / mean_v * (own_v - (1.0 - _IN_THE_WAY) * work_v)
    extra_s = server.round_trip_s + server.fail * memory.failure_s
    if server.speed <= 0.0:
        return float(PAUSED_S + cost_v + extra_s)
    return float(cost_v / server.speed + extra_s)


def _wait_v(world: World, backend: int, now_v: float) -> float:
    """How long a first-come-first-served backend's first free core is taken, by its clock at speed 1."""
    server = world.servers[backend]
    first_v = world.lane_v[server.heap]
    for at in range(server.heap + 1, server.heap + server.slots):
        first_v = min(first_v, world.lane_v[at])
    return float(max(first_v - now_v, 0.0))


def _shared_v(world: World, backend: int, now_v: float, work_v: float, mean_v: float) -> float:
    """The end of a request that shares cores, and what those that are served lose; in seconds at speed 1."""
    server = world.servers[backend]
    cores, growth, slots = server.cores, server.growth, float(server.slots)
    heap_v, begin, end = world.heap_v, server.heap, server.heap + server.serving
    if server.serving >= server.slots:
        first_v = max(heap_v[begin] - now_v, 0.0)
        to_end_v = first_v + mean_v * server.waiting / slots + work_v
        return float(to_end_v * _unit(cores, growth, slots) + work_v * (slots - 1.0) * _loss(cores, slots))
    total = done_v = 0.0
    while done_v < work_v:
        # Until the next of the others ends, or this one does.
        until_v = work_v
        others = 0.0
        for at in range(begin, end):
            left_v = heap_v[at] - now_v
            if left_v > done_v:
                others += 1.0
                until_v = min(until_v, left_v)
        served = others + 1.0
        total += (until_v - done_v) * (_unit(cores, growth, served) + others * _loss(cores, served))
        done_v = until_v
    return total


def _unit(cores: float, growth: float, served: float) -> float:
    """What a unit of work takes while `served` are."""
    return max(1.0, served / cores) * (1.0 + growth * (served - 1.0))


def _loss(cores: float, served: float) -> float:
    """What one of `served` requests more costs each other one, per unit of work."""
    return max(1.0, served / cores) - max(1.0, (served - 1.0) / cores)


REFERENCE = Reference(name="clairvoyant", pick=pick, options=Options, remember=remember, draws=lambda _options: 1)
