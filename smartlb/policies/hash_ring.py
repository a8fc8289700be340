"""Consistent hashing on a ring, optionally with bounded loads; what ip_hash and url_hash share.

D. Karger et al., "Consistent Hashing and Random Trees", STOC 1997. Every backend has points on a ring of
64-bit numbers; a key belongs to the first point at or after it. The k-th point of a backend depends on its
name alone (BLAKE2b, the same in every process and on every machine), so when a backend goes, by being barred
or by leaving the configuration, only its own keys move, to the next backends on the ring.

A backend has 160 points for each 1.0 of weight (as ketama and nginx have), one at least, which makes its
share true to about 8 %. Where weights are all small or very large, every number of points is doubled or
halved until there are 40 per backend at least and a million altogether at most; adding or removing a backend
across such a boundary moves more keys.

With a load bound c, a backend takes no key beyond ceil(c × (m + 1) × its share of the eligible weight)
requests, where m are in flight at the eligible backends; the next on the ring with room takes it.
V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016 (arXiv:1608.01350),
with weights as in HAProxy's hash-balance-factor, src/lb_chash.c.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from smartlb.policies.policy import Members, PolicyOptions
from smartlb.policies.weight_units import weight_units

_POINTS_PER_WEIGHT = 160.0
_FEWEST_PER_BACKEND = 40
_MOST = 1_000_000
_POINTS_PER_DIGEST = 8


class Options(PolicyOptions):
    """Options of the policies that hash."""

    load_bound: float | None = Field(
        default=None,
        ge=1.0,
        le=1000.0,
        description="Most requests in flight a backend may have, as a multiple of its fair share, such as "
        "1.25; what exceeds it goes to the next on the ring. The nearer to 1, the more keys move. No bound "
        "where not given.",
    )


class Memory(NamedTuple):
    """A ring, never changed.

    Attributes:
        points: ascending.
        owners: the backend of each point.
        size: how many points there are.
        weight: of each backend, in weight units.
        load_bound: 0.0 for none.
    """

    points: Sequence[int]
    owners: Sequence[int]
    size: int
    weight: Sequence[int]
    load_bound: float


def remember(members: Members, options: Options) -> Memory:
    """Place every backend on the ring."""
    counts = point_counts(members.weight)
    points = np.concatenate([_points(name, count) for name, count in zip(members.names, counts, strict=True)])
    owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    order = np.argsort(points, kind="stable")
    return Memory(
        points=array("Q", points[order].tobytes()),
        owners=array("i", owners[order].tobytes()),
        size=len(points),
        weight=weight_units(members.weight),
        load_bound=options.load_bound or 0.0,
    )


def point_counts(weights: Sequence[float]) -> list[int]:
    """How many points each backend has; none for a position without one."""
    scale, total = _POINTS_PER_WEIGHT, sum(weights)
    while scale * total < _FEWEST_PER_BACKEND * sum(weight > 0.0 for weight in weights):
        scale *= 2
    while scale * total > _MOST:
        scale /= 2
    return [max(1, round(scale * weight)) if weight > 0.0 else 0 for weight in weights]


def _points(name: str, count: int) -> Any:
    digests = [
        blake2b(f"{name}#{block}".encode(), digest_size=8 * _POINTS_PER_DIGEST).digest()
        for block in range(-(-count // _POINTS_PER_DIGEST))
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8")[:count].astype(np.uint64)


def owner(memory: Memory, key: int) -> int:
    """The backend that `key` belongs to, whether or not it may be picked."""
    at = bisect_left(memory.points, key)
    return memory.owners[at if at < len(memory.points) else 0]
