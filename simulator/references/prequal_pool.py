"""What a prequal router knows: probes under way, the pool of answers, and how busy backends were of late."""

from collections.abc import MutableSequence, Sequence
from math import inf
from typing import NamedTuple

from smartlb.core.view import PoolView


class Memory(NamedTuple):
    """All of it in columns; see `simulator.references.prequal` for what it is for.

    Attributes:
        size: ``[1]``; how many answers are in the pool.
        backend, since_s, rif, latency_s, uses: the pool's answers: whose, when each came, requests in flight, estimated
            latency, and for how many requests each may still be used.
        way: ``[2]``; where the first of the probes under way is, and how many there are.
        way_backend, way_until_s, way_rif, way_latency_s, way_uses: probes under way, as a ring in the order of their
            arrival.
        seen: ``[2]``; how many requests in flight were told of so far, and how many of them are kept.
        recent: the latest of them, as a ring.
        ordered: the same, ascending.
        chosen: room for the backends that are probed for one request.
        oldest_next: ``[1]``; whether the oldest is removed next, and not the worst.
        noticed: how many of each backend's latencies are in what follows.
        kept: ``[backends × levels]``; how many latencies there were with so many requests in flight.
        kept_s, kept_at_s: ``[backends × levels × KEPT]``; the latest of them, and when they were.
        near_s: room for those of which a median is.
        age_s, q_rif, removes: the options.
        budget: for how many requests an answer may be used, before it is rounded.
    """

    size: MutableSequence[int]
    backend: MutableSequence[int]
    since_s: MutableSequence[float]
    rif: MutableSequence[int]
    latency_s: MutableSequence[float]
    uses: MutableSequence[int]
    way: MutableSequence[int]
    way_backend: MutableSequence[int]
    way_until_s: MutableSequence[float]
    way_rif: MutableSequence[int]
    way_latency_s: MutableSequence[float]
    way_uses: MutableSequence[int]
    seen: MutableSequence[int]
    recent: MutableSequence[int]
    ordered: MutableSequence[int]
    chosen: MutableSequence[int]
    oldest_next: MutableSequence[int]
    noticed: MutableSequence[int]
    kept: MutableSequence[int]
    kept_s: MutableSequence[float]
    kept_at_s: MutableSequence[float]
    near_s: MutableSequence[float]
    age_s: float
    q_rif: float
    removes: int
    budget: float


def send(memory: Memory, backend: int, until_s: float, rif: int, latency_s: float, uses: int) -> None:
    """A probe whose answer comes at `until_s`; with no room for it, it is lost."""
    room = len(memory.way_backend)
    count = memory.way[1]
    if count >= room:
        return
    at = count
    # Those that come later step back, so that the ring stays in order.
    while at > 0 and memory.way_until_s[(memory.way[0] + at - 1) % room] > until_s:
        before, here = (memory.way[0] + at - 1) % room, (memory.way[0] + at) % room
        memory.way_backend[here] = memory.way_backend[before]
        memory.way_until_s[here] = memory.way_until_s[before]
        memory.way_rif[here] = memory.way_rif[before]
        memory.way_latency_s[here] = memory.way_latency_s[before]
        memory.way_uses[here] = memory.way_uses[before]
        at -= 1
    here = (memory.way[0] + at) % room
    memory.way_backend[here] = backend
    memory.way_until_s[here] = until_s
    memory.way_rif[here] = rif
    memory.way_latency_s[here] = latency_s
    memory.way_uses[here] = uses
    memory.way[1] = count + 1


def receive(memory: Memory, now_s: float) -> None:
    """Take in the answers that have come, and forget those that are too old."""
    room = len(memory.way_backend)
    while memory.way[1] > 0 and memory.way_until_s[memory.way[0]] <= now_s:
        first = memory.way[0]
        _learn(memory, memory.way_rif[first])
        _insert(memory, first)
        memory.way[0] = (first + 1) % room
        memory.way[1] -= 1
    at = 0
    while at < memory.size[0]:
        if now_s - memory.since_s[at] > memory.age_s:
            remove(memory, at)
        else:
            at += 1


def _learn(memory: Memory, rif: int) -> None:
    room = len(memory.recent)
    told, kept = memory.seen[0], memory.seen[1]
    if kept == room:
        at = _first_above(memory.ordered, memory.recent[told % room] - 1, kept)
        kept -= 1
        for later in range(at, kept):
            memory.ordered[later] = memory.ordered[later + 1]
    at = _first_above(memory.ordered, rif, kept)
    for later in range(kept, at, -1):
        memory.ordered[later] = memory.ordered[later - 1]
    memory.ordered[at] = rif
    memory.recent[told % room] = rif
    memory.seen[0] = told + 1
    memory.seen[1] = kept + 1


def _first_above(ordered: Sequence[int], value: int, count: int) -> int:
    """The position of the first of `count` ascending numbers that is above a value; `count` if none is."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if value < ordered[middle]:
            high = middle
        else:
            low = middle + 1
    return low


def _insert(memory: Memory, probe: int) -> None:
    """Only the newest answer of a backend is kept; a full pool loses its oldest."""
    size = memory.size[0]
    at = 0
    while at < size and memory.backend[at] != memory.way_backend[probe]:
        at += 1
    if at == len(memory.backend):
        at = oldest(memory)
    elif at == size:
        memory.size[0] = size + 1
    memory.backend[at] = memory.way_backend[probe]
    memory.since_s[at] = memory.way_until_s[probe]
    memory.rif[at] = memory.way_rif[probe]
    memory.latency_s[at] = memory.way_latency_s[probe]
    memory.uses[at] = memory.way_uses[probe]


def remove(memory: Memory, at: int) -> None:
    """Take an answer out of the pool; the last one takes its place."""
    last = memory.size[0] - 1
    memory.backend[at] = memory.backend[last]
    memory.since_s[at] = memory.since_s[last]
    memory.rif[at] = memory.rif[last]
    memory.latency_s[at] = memory.latency_s[last]
    memory.uses[at] = memory.uses[last]
    memory.size[0] = last


def threshold(memory: Memory) -> float:
    """More requests in flight than this are hot."""
    kept = memory.seen[1]
    if kept == 0:
        return inf
    return float(memory.ordered[int((kept - 1) * memory.q_rif)])


def usable(memory: Memory, pool: PoolView) -> int:
    """How many answers are of backends that may be picked."""
    count = 0
    for at in range(memory.size[0]):
        if pool.barred[memory.backend[at]] == 0.0:
            count += 1
    return count


def best(memory: Memory, pool: PoolView) -> int:
    """The usable answer with the least latency of the cold ones; if all are hot, that with the least in flight."""
    hot_from = threshold(memory)
    found = -1
    for at in range(memory.size[0]):
        if pool.barred[memory.backend[at]] == 0.0 and (found < 0 or _better(memory, at, found, hot_from)):
            found = at
    return found


def _better(memory: Memory, at: int, than: int, hot_from: float) -> bool:
    hot, than_hot = memory.rif[at] > hot_from, memory.rif[than] > hot_from
    if hot != than_hot:
        return than_hot
    by_rif, by_latency = memory.rif[at] - memory.rif[than], memory.latency_s[at] - memory.latency_s[than]
    if hot:
        return by_rif < 0 or (by_rif == 0 and by_latency < 0.0)
    return by_latency < 0.0 or (by_latency == 0.0 and by_rif < 0)


def use(memory: Memory, at: int) -> int:
    """The backend of an answer; one more request is in flight there now, and the answer is one use older."""
    backend = memory.backend[at]
    memory.rif[at] += 1
    memory.uses[at] -= 1
    if memory.uses[at] <= 0:
        remove(memory, at)
    return backend


def prune(memory: Memory) -> None:
    """Remove as many answers as are to go with each request, by turns the oldest and the worst."""
    for _ in range(memory.removes):
        if memory.size[0] > 0:
            remove(memory, oldest(memory) if memory.oldest_next[0] else _worst(memory))
        memory.oldest_next[0] = 1 - memory.oldest_next[0]


def oldest(memory: Memory) -> int:
    """The answer that came first."""
    found = 0
    for at in range(1, memory.size[0]):
        if memory.since_s[at] < memory.since_s[found]:
            found = at
    return found


def _worst(memory: Memory) -> int:
    """The hot answer with the most in flight; if none is hot, that with the greatest latency."""
    hot_from = threshold(memory)
    found = 0
    for at in range(1, memory.size[0]):
        hot, found_hot = memory.rif[at] > hot_from, memory.rif[found] > hot_from
        if hot or found_hot:
            if hot and (not found_hot or memory.rif[at] > memory.rif[found]):
                found = at
        elif memory.latency_s[at] > memory.latency_s[found]:
            found = at
    return found
