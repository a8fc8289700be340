"""least_time: the backend with the lowest average latency × (requests in flight + 1) / weight.

nginx, src/http/modules/ngx_http_upstream_least_time_module.c and ngx_http_upstream_round_robin.h, with its
"header" time: from dispatch to the first byte. The average is kept in whole milliseconds, 0.05 of a new
sample and 0.95 of what was; failed requests do not count, so that failing fast attracts nothing. For the
choice it is rounded up to the next multiple of 20 ms, so that backends about as fast as each other share the
traffic, and above 5000 ms all are equally slow. A backend that was not looked at for longer than `idle_s`
(nginx's fail_timeout) has its time halved, again and again with every such interval, until it is tried.

Left out: nginx's optional `inflight`, the average age of requests in flight, which the router does not have;
and its smooth weighted round robin among equals, which is a random start here.
"""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy, PolicyOptions
from smartlb.policies.scan import lowest

_STEP_MS = 20
_SLOWEST_MS = 5_000
_LONGEST_S = 1e9  # nothing takes longer; it keeps milliseconds within 64 bits
_ALL_BITS = 63


class Options(PolicyOptions):
    """Options of least_time."""

    idle_s: int = Field(
        default=10,
        ge=1,
        le=3600,
        description="After how long without a request a slow backend begins to be forgiven.",
    )


class Memory(NamedTuple):
    """What was observed of each backend; times are whole seconds, as in nginx.

    Attributes:
        average_ms: the average latency; 0 without history.
        rounded_ms: what it counts as in the present second.
        checked_s: since when it is idle.
        second: the present second, as an array of one.
        idle_s: the option.
    """

    average_ms: MutableSequence[int]
    rounded_ms: MutableSequence[float]
    checked_s: MutableSequence[int]
    second: MutableSequence[int]
    idle_s: int


def remember(members: Members, options: Options) -> Memory:
    """No history."""
    zeros = bytes(8 * len(members.names))
    rounded_ms = array("d", [float(_STEP_MS)] * len(members.names))
    return Memory(array("q", zeros), rounded_ms, array("q", zeros), array("q", [-1]), options.idle_s)


def score(in_flight: Any, weight: Any, rounded_ms: Any) -> Any:
    """Estimated milliseconds until one more request would be done, by weight."""
    return rounded_ms * (in_flight + 1) / weight


def pick(pool: PoolView, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]) -> int:
    """The eligible backend with the least estimated time; ties by random start."""
    second = int(now_s)
    if memory.second[0] != second:
        memory.second[0] = second
        _forgive(memory, second)
    best = lowest(pool, score, memory.rounded_ms, draws[0])
    if second - memory.checked_s[best] > memory.idle_s:
        memory.checked_s[best] = second
        _round(memory, best, second)
    return best


def observe(memory: Memory, backend: int, now_s: float, latency_s: float, failed: bool) -> None:
    """Take in the latency of a request that did not fail; a failure only puts off forgiveness."""
    second = int(now_s)
    if failed:
        memory.checked_s[backend] = second
    else:
        sample_ms = int(max(0.0, min(latency_s, _LONGEST_S)) * 1000.0)
        average_ms = memory.average_ms[backend]
        if average_ms != 0:
            sample_ms = int(0.5 + sample_ms * 0.05 + average_ms * 0.95)
        memory.average_ms[backend] = sample_ms
    _round(memory, backend, second)


def _forgive(memory: Memory, second: int) -> None:
    """Bring the idle backends' times up to the present second."""
    checked_s, idle_s = memory.checked_s, memory.idle_s
    for backend in range(len(checked_s)):
        if second - checked_s[backend] > idle_s:
            _round(memory, backend, second)


def _round(memory: Memory, backend: int, second: int) -> None:
    time_ms = memory.average_ms[backend]
    idle_s = second - memory.checked_s[backend]
    if idle_s > memory.idle_s:
        time_ms >>= min(idle_s // (memory.idle_s + 1), _ALL_BITS)
    if time_ms > _SLOWEST_MS:
        time_ms = _SLOWEST_MS
    else:
        time_ms += _STEP_MS - time_ms % _STEP_MS
    memory.rounded_ms[backend] = float(time_ms)


POLICY = Policy(
    name="least_time",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda _options: 1,
    observe=observe,
    keeps=("average_ms", "rounded_ms", "checked_s", "second"),
)
