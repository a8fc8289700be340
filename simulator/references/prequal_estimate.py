"""What a prequal backend estimates its latency to be: the median of recent ones with as many requests in flight.

As in prequal-rs/prequal, crates/prequal-server/src/median.rs, which calls it the paper's estimator: latencies are kept
by how many requests in flight they met, those of the last second and within one more or less count, and with none the
estimate is zero, as a backend that nobody asks would otherwise stay as slow as it was for ever. Instead of zero it is
the nearest number of requests in flight here that has any: right after many came, few have an answer yet, and
zero would attract more.

The backend's knowledge is held in the router's memory. It is filled from the world's latest latencies whenever an
answer comes from the backend or a probe is sent there; of more in between only the latest 16 are noticed. They are
dated when they are noticed, at most a round trip late where all answers come to one router.
"""

from typing import Final

from simulator.kernel.state import LATEST, World
from simulator.references.prequal_pool import Memory

LEVELS: Final = 64
"""Numbers of requests in flight that are kept apart; as many and more are one."""

KEPT: Final = 8
"""Latencies that are kept of each."""

AT_ONCE: Final = 3 * KEPT
"""The most of which a median is."""

_RECENT_S: Final = 1.0


def observe(world: World, memory: Memory, backend: int, now_s: float, _latency_s: float, _failed: bool) -> None:
    """Take in what the backend has learned since."""
    latest = world.servers[backend].latest
    for nth in range(max(memory.noticed[backend], latest - LATEST), latest):
        at = nth % LATEST
        level = backend * LEVELS + min(world.latest_met[backend, at], LEVELS - 1)
        place = level * KEPT + memory.kept[level] % KEPT
        memory.kept_s[place] = world.latest_s[backend, at]
        memory.kept_at_s[place] = now_s
        memory.kept[level] += 1
    memory.noticed[backend] = latest


def estimate_s(world: World, memory: Memory, backend: int, rif: int, now_s: float) -> float:
    """What a backend answers now that `rif` requests are there; 0.0 without recent latencies."""
    observe(world, memory, backend, now_s, 0.0, False)
    middle = min(rif, LEVELS - 1)
    first, last = max(middle - 1, 0), min(middle + 1, LEVELS - 1)
    count = 0
    for level in range(first, last + 1):
        count = _gather(memory, backend, level, now_s, count)
    while count == 0 and (first > 0 or last < LEVELS - 1):
        if first > 0:
            first -= 1
            count = _gather(memory, backend, first, now_s, count)
        if last < LEVELS - 1:
            last += 1
            count = _gather(memory, backend, last, now_s, count)
    return memory.near_s[count // 2] if count > 0 else 0.0


def _gather(memory: Memory, backend: int, level: int, now_s: float, count: int) -> int:
    """Add a level's recent latencies to the `count` that there are, in order."""
    near_s = memory.near_s
    begin = (backend * LEVELS + level) * KEPT
    for place in range(begin, begin + min(memory.kept[backend * LEVELS + level], KEPT)):
        if now_s - memory.kept_at_s[place] <= _RECENT_S:
            at = count
            while at > 0 and near_s[at - 1] > memory.kept_s[place]:
                near_s[at] = near_s[at - 1]
                at -= 1
            near_s[at] = memory.kept_s[place]
            count += 1
    return count
