"""atw: ATW-like, not ATW: weighted random, away from backends that fail more than the others do.

AWS Application Load Balancer's automatic target weights have no public formula. What AWS says of them
(aws.amazon.com/blogs/networking-and-content-delivery/improving-availability-with-application-load-balancer-automatic-
target-weights, what's new of 2023-11-26): weighted random; with three healthy targets or more, one with a
disproportionate ratio of errors (5xx, TCP, TLS) compared to the others is anomalous; its traffic is reduced step by
step until it recovers or gets next to none; then it is raised gradually to what it was. Latency plays no part.

Everything beyond that is made up here, all numbers included: errors are counted over `window_s`, and until there are
`fewest` requests; a backend is anomalous if its ratio exceeds that of all others together by `margin` and by `sigmas`
standard errors; then its weight is multiplied by `cut`, down to `least`; otherwise it grows by `growth` up to 1.
Configured weights are not used, as ALB's targets have none. 429 counts as an error, as it does for all that observe.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from math import inf, sqrt
from typing import Final, NamedTuple

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions

_FEWEST_TARGETS: Final = 3


class Options(PolicyOptions):
    """Options of atw; none of the defaults is AWS's."""

    window_s: float = Field(default=5.0, gt=0, le=3600, description="How often weights change.")
    fewest: int = Field(default=10, ge=1, le=10**6, description="Of how many requests an error ratio is, at least.")
    margin: float = Field(default=0.02, ge=0, le=1, description="By how much an anomalous error ratio is higher.")
    sigmas: float = Field(default=3.0, ge=0, le=10, description="By how many standard errors it is higher.")
    cut: float = Field(default=0.5, gt=0, lt=1, description="What is left of the weight after an anomaly.")
    least: float = Field(default=0.01, gt=0, le=1, description="The lowest weight.")
    growth: float = Field(default=0.1, gt=0, le=1, description="By how much a weight grows without an anomaly.")


class Memory(NamedTuple):
    """The weights, and what was counted since they last changed.

    Attributes:
        weight: of each backend.
        requests, errors: of each backend.
        next_s: ``[1]``; when weights change next; infinity before the first pick.
        window_s, fewest, margin, sigmas, cut, least, growth: the options.
    """

    weight: MutableSequence[float]
    requests: MutableSequence[float]
    errors: MutableSequence[float]
    next_s: MutableSequence[float]
    window_s: float
    fewest: float
    margin: float
    sigmas: float
    cut: float
    least: float
    growth: float


def remember(members: Members, options: Options) -> Memory:
    """All weights 1."""
    size = len(members.names)
    return Memory(
        weight=array("d", [1.0] * size),
        requests=array("d", [0.0] * size),
        errors=array("d", [0.0] * size),
        next_s=array("d", [inf]),
        window_s=options.window_s,
        fewest=float(options.fewest),
        margin=options.margin,
        sigmas=options.sigmas,
        cut=options.cut,
        least=options.least,
        growth=options.growth,
    )


def pick(
    pool: PoolView, _world: World, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """An eligible backend by weight; any with fewer than three of them."""
    if memory.next_s[0] == inf:
        memory.next_s[0] = now_s + memory.window_s
    elif now_s >= memory.next_s[0]:
        _change(pool, memory)
        memory.next_s[0] = now_s + memory.window_s
    eligible = pool.eligible
    count = len(eligible)
    if count < _FEWEST_TARGETS:
        return eligible[int(draws[0] * count)]
    total = 0.0
    for at in eligible:
        total += memory.weight[at]
    left = draws[0] * total
    for at in eligible:
        left -= memory.weight[at]
        if left < 0.0:
            return at
    return eligible[count - 1]


def _change(pool: PoolView, memory: Memory) -> None:
    requests = errors = 0.0
    for at in pool.eligible:
        requests += memory.requests[at]
        errors += memory.errors[at]
    for at in pool.eligible:
        if memory.requests[at] < memory.fewest:
            continue
        others = requests - memory.requests[at]
        if others > 0.0 and _anomalous(memory, at, (errors - memory.errors[at]) / others, errors / requests):
            memory.weight[at] = max(memory.weight[at] * memory.cut, memory.least)
        else:
            memory.weight[at] = min(memory.weight[at] + memory.growth, 1.0)
    for at in pool.eligible:
        if memory.requests[at] >= memory.fewest:
            memory.requests[at] = memory.errors[at] = 0.0


def _anomalous(memory: Memory, backend: int, others: float, overall: float) -> bool:
    excess = memory.errors[backend] / memory.requests[backend] - others
    expected = sqrt(overall * (1.0 - overall) / memory.requests[backend])
    return excess > memory.margin and excess > memory.sigmas * expected


def observe(_world: World, memory: Memory, backend: int, _now_s: float, _latency_s: float, failed: bool) -> None:
    """Count a request."""
    memory.requests[backend] += 1.0
    if failed:
        memory.errors[backend] += 1.0


REFERENCE = Reference(
    name="atw", pick=pick, options=Options, remember=remember, draws=lambda _options: 1, observe=observe
)
