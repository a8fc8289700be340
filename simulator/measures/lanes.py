"""Which backends a picture can tell apart: a few by themselves, the others by group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

LANES: Final = 12
"""More than this many colours and lines nobody can tell apart."""

ALONE: Final = 4
"""How many of the troubled backends of a larger fleet have a lane of their own."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """A partition of the backends.

    Attributes:
        names: ``[lanes]``; for readers.
        of: ``[backends]``; the lane of each.
    """

    names: Sequence[str]
    of: npt.NDArray[np.int64]

    @property
    def size(self) -> list[int]:
        """How many backends each lane has."""
        return [int(count) for count in np.bincount(self.of, minlength=len(self.names))]


def lanes(backends: Sequence[str], troubled: Sequence[int]) -> Lanes:
    """Put backends into at most `LANES` lanes.

    Each has its own where they are few enough. Else the first `ALONE` troubled ones do, and the others share one a
    group, by their name without its number; groups beyond the largest ones share the last.

    Args:
        backends: their names.
        troubled: indices of those that faults concern; repetitions count once.
    """
    if len(backends) <= LANES:
        return Lanes(list(backends), np.arange(len(backends)))
    alone = list(dict.fromkeys(troubled))[:ALONE]
    keys = [name if at in alone else f"{re.sub(r'-?[0-9]+$', '', name)} …" for at, name in enumerate(backends)]
    sizes: dict[str, int] = {}
    for at, key in enumerate(keys):
        if at not in alone:
            sizes[key] = sizes.get(key, 0) + 1
    room = LANES - len(alone)
    groups = sorted(sizes, key=lambda key: -sizes[key])
    kept = set(groups if len(groups) <= room else groups[: room - 1])
    lane = [key if at in alone or key in kept else "others" for at, key in enumerate(keys)]
    members = {name: lane.count(name) for name in dict.fromkeys(lane)}
    names = list(members)
    labels = [f"{name} ×{members[name]}" if members[name] > 1 else name for name in names]
    return Lanes(labels, np.array([names.index(name) for name in lane]))
