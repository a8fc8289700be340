"""c3: the backend with the lowest rank of response time, service time and the cube of its queue.

Suresh, Canini, Schmid, Feldmann: C3, NSDI 2015, in the form of Elasticsearch's adaptive replica selection
(server/.../node/ResponseCollectorService.java, cluster/routing/IndexShardRoutingTable.java), in milliseconds:

    rank = R - S + q³ × S,   q = 1 + in flight × clients + Q

with R the latency as the router measures it, and S the service time and Q the queue as the backend reports them with
its answers; all are moving averages, 0.3 of a new sample, and Q is rounded down. Backends without an answer come first,
where the latest source tries them at random; ties go to a random start. With every choice the averages of all others
take in, as if it were a sample, the mean of theirs and the winner's, so that none stays unused (`adjust`).

Elasticsearch ranks the few copies of a shard; here it is the pool, so that its adjustment blurs more. Its `clients` is
the number of nodes that it has heard of; here it is an option, to be set to the number of routers where they do not
see each other's requests. The service time that its nodes report is an average already; here it is that of the
request. Failed requests do not count. C3's control of the request rate is left out there and here.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Final, NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions

_ALPHA: Final = 0.3
_MS: Final = 1000.0


class Options(PolicyOptions):
    """Options of c3."""

    clients: int = Field(
        default=1, ge=1, le=1024, description="How many routers there are that do not see each other's requests."
    )
    adjust: bool = Field(default=True, description="Whether the averages of all move towards those of the winner.")


class Memory(NamedTuple):
    """What was observed of each backend.

    Attributes:
        response_s, service_s, queue: the averages.
        known: 1 from the first answer on.
        clients, adjust: the options.
    """

    response_s: MutableSequence[float]
    service_s: MutableSequence[float]
    queue: MutableSequence[float]
    known: MutableSequence[int]
    clients: int
    adjust: int


def remember(members: Members, options: Options) -> Memory:
    """No answers."""
    zeros = bytes(8 * len(members.names))
    return Memory(
        array("d", zeros),
        array("d", zeros),
        array("d", zeros),
        array("q", zeros),
        options.clients,
        int(options.adjust),
    )


def pick(
    pool: PoolView,
    _world: World,
    memory: Memory,
    _request_class: int,
    _key: int,
    _now_s: float,
    draws: Sequence[float],
) -> int:
    """The eligible backend with the lowest rank."""
    eligible = pool.eligible
    count = len(eligible)
    start = int(draws[0] * count)
    best = eligible[start]
    least = rank(memory, best, pool.in_flight[best])
    for step in range(start + 1, start + count):
        at = eligible[step - count if step >= count else step]
        value = rank(memory, at, pool.in_flight[at])
        if value < least:
            best, least = at, value
    if memory.adjust and memory.known[best]:
        queue = memory.queue[best]
        for at in eligible:
            if at != best and memory.known[at]:
                _sample(
                    memory,
                    at,
                    (memory.response_s[best] + memory.response_s[at]) / 2.0,
                    (memory.service_s[best] + memory.service_s[at]) / 2.0,
                    float((int(queue) + int(memory.queue[at])) // 2),
                )
    return best


def rank(memory: Memory, backend: int, in_flight: int) -> float:
    """Lower is better; below all others without an answer."""
    if not memory.known[backend]:
        return -1e300
    queue = 1.0 + in_flight * memory.clients + int(memory.queue[backend])
    response_ms, service_ms = memory.response_s[backend] * _MS, memory.service_s[backend] * _MS
    return response_ms - service_ms + queue * queue * queue * service_ms


def observe(world: World, memory: Memory, backend: int, _now_s: float, latency_s: float, failed: bool) -> None:
    """Take in an answer and what the backend reported with it."""
    if failed:
        return
    if memory.known[backend]:
        _sample(memory, backend, latency_s, world.report[1], world.report[0])
    else:
        memory.known[backend] = 1
        memory.response_s[backend] = latency_s
        memory.service_s[backend] = world.report[1]
        memory.queue[backend] = world.report[0]


def _sample(memory: Memory, backend: int, response_s: float, service_s: float, queue: float) -> None:
    memory.response_s[backend] = _ALPHA * response_s + (1.0 - _ALPHA) * memory.response_s[backend]
    memory.service_s[backend] = _ALPHA * service_s + (1.0 - _ALPHA) * memory.service_s[backend]
    memory.queue[backend] = _ALPHA * queue + (1.0 - _ALPHA) * memory.queue[backend]


REFERENCE = Reference(
    name="c3", pick=pick, options=Options, remember=remember, draws=lambda _options: 1, observe=observe
)
