"""grpc_wrr: round robin with weights of what backends report: requests a second by utilisation.

gRFC A58, weighted_round_robin (Envoy: client_side_weighted_round_robin). The weight of a backend is

    qps / (utilisation + eps / qps × error_penalty)

by the report that came with its latest answer. It counts once reports have come for `blackout_s`, and no longer if none
has come for `expiry_s`, after which the blackout begins again. Every `update_s` the weights are looked up and a new
schedule begins: earliest deadline first, each backend's first deadline a random part of its period, 1 / weight.
Backends without a weight get the mean of those with one; with fewer than two of these all are equal.

The gRFC's earliest deadline first is taken, not the static stride schedule that later versions of gRPC have in its
place; both give each backend its share. The initial deadlines of a schedule come from one random number, by Lehmer's
generator. A backend's report is of the last second or more that it measured (`simulator.kernel.backend`), and comes
with every answer but those for a backend that has crashed or hangs. A backend that is not eligible when the weights are
looked up does not count for the mean. One that comes back is due at once, as if it had just been put in; a new schedule
is at most `update_s` away.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from math import inf
from typing import Final, NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.earliest import earliest
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions

_MODULUS: Final = 2**31 - 1
_MULTIPLIER: Final = 16_807
_FEWEST_WEIGHTS: Final = 2


class Options(PolicyOptions):
    """Options of grpc_wrr."""

    blackout_s: float = Field(default=10.0, ge=0, le=3600, description="How long reports must have come to count.")
    expiry_s: float = Field(default=180.0, gt=0, le=86400, description="How old the latest report may be.")
    update_s: float = Field(default=1.0, ge=0.1, le=3600, description="How often the weights are looked up.")
    error_penalty: float = Field(default=1.0, ge=0, le=100, description="How much the share of errors counts.")


class Memory(NamedTuple):
    """What was reported, and the schedule.

    Attributes:
        reported: each backend's weight by its latest report; 0.0 before the first.
        since_s: from when on reports have come; infinity while none has.
        latest_s: when the latest came.
        period: in the present schedule.
        deadline: likewise.
        place: each backend's own position, for ties.
        times: ``[2]``; when the next schedule begins, and the last deadline of the present one that was picked.
        blackout_s, expiry_s, update_s, error_penalty: the options.
    """

    reported: MutableSequence[float]
    since_s: MutableSequence[float]
    latest_s: MutableSequence[float]
    period: MutableSequence[float]
    deadline: MutableSequence[float]
    place: Sequence[int]
    times: MutableSequence[float]
    blackout_s: float
    expiry_s: float
    update_s: float
    error_penalty: float


def remember(members: Members, options: Options) -> Memory:
    """No reports, no schedule."""
    size = len(members.names)
    return Memory(
        reported=array("d", [0.0] * size),
        since_s=array("d", [inf] * size),
        latest_s=array("d", [-inf] * size),
        period=array("d", [1.0] * size),
        deadline=array("d", [0.0] * size),
        place=array("q", range(size)),
        times=array("d", [-inf, 0.0]),
        blackout_s=options.blackout_s,
        expiry_s=options.expiry_s,
        update_s=options.update_s,
        error_penalty=options.error_penalty,
    )


def pick(
    pool: PoolView, _world: World, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """The eligible backend that is due next."""
    if now_s >= memory.times[0]:
        _schedule(pool, memory, now_s, draws[0])
        memory.times[0] = now_s + memory.update_s
        memory.times[1] = 0.0
    best = earliest(pool.eligible, memory.deadline, memory.place)
    memory.times[1] = max(memory.times[1], memory.deadline[best])
    memory.deadline[best] = memory.times[1] + memory.period[best]
    return best


def _schedule(pool: PoolView, memory: Memory, now_s: float, draw: float) -> None:
    weight = memory.period
    total = 0.0
    count = 0
    for at in range(len(weight)):
        weight[at] = weight_of(memory, at, now_s)
        if pool.barred[at] == 0.0 and weight[at] > 0.0:
            total += weight[at]
            count += 1
    state = int(draw * (_MODULUS - 1)) + 1
    for at in range(len(weight)):
        if count < _FEWEST_WEIGHTS:
            weight[at] = 1.0
        elif weight[at] == 0.0:
            weight[at] = total / count
        memory.period[at] = 1.0 / weight[at]
        state = state * _MULTIPLIER % _MODULUS
        memory.deadline[at] = memory.period[at] * (state / _MODULUS)


def weight_of(memory: Memory, backend: int, now_s: float) -> float:
    """The weight that counts; 0.0 for none."""
    if now_s - memory.latest_s[backend] >= memory.expiry_s:
        memory.since_s[backend] = inf
        return 0.0
    if memory.blackout_s > 0.0 and now_s - memory.since_s[backend] < memory.blackout_s:
        return 0.0
    return memory.reported[backend]


def observe(world: World, memory: Memory, backend: int, now_s: float, _latency_s: float, failed: bool) -> None:
    """Take in the report that came with an answer."""
    server = world.servers[backend]
    if failed and (server.crashed != 0 or server.hanging != 0):
        return
    if server.rate_s <= 0.0 or server.utilisation <= 0.0:
        return
    used = server.utilisation + server.error_rate_s / server.rate_s * memory.error_penalty
    memory.reported[backend] = server.rate_s / used
    memory.latest_s[backend] = now_s
    if memory.since_s[backend] == inf:
        memory.since_s[backend] = now_s


REFERENCE = Reference(
    name="grpc_wrr", pick=pick, options=Options, remember=remember, draws=lambda _options: 1, observe=observe
)
