"""Which request classes of a pool have models of their own, where there are too many for each to have them.

A tick's work grows with the classes, and a class of which few requests come shows little of its own beside what its
pool has shown already. So the classes with most traffic have a slot each, and all others share one more, as if they
were one class. A slot whose class has left rests until what was learned there is forgotten, as the next class is
another: that begins as a new class does, from the pool's experience.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf

import numpy as np
import numpy.typing as npt

from smartlb.learning.cells import Matrix
from smartlb.learning.hierarchy import AFFINITY_KEPT_S

MOST = 32
"""How many slots there are at most. Where there are no more classes, none shares."""

LEAST = 16.0
"""Recent requests of a class that are worth a slot."""

LEAD = 2.0
"""A class takes the place of another once it has this many times as much recent traffic, and `LEAST` requests more:
it is chance which of two alike has more, and a change costs both what was learned."""

MEMORY_S = 30.0
"""Time constant of recent traffic."""

REST_S = AFFINITY_KEPT_S
"""Least rest of a slot: affinities outlive models."""

SHARED = "*"
"""In a checkpoint, the name of the classes that share; no class of a configuration can have it."""

_NOBODY = -1

Numbers = npt.NDArray[np.integer]


class Slots:
    """The slots of a pool's request classes.

    Args:
        classes: how many request classes there are.
        most: how many slots there may be; at least 1.

    Attributes:
        count: how many there are. Where these are fewer than the classes, the last is the shared one; otherwise slots
            are numbered as classes are.
        of: ``[classes]``; the slot of each.
    """

    def __init__(self, classes: int, most: int = MOST) -> None:
        self.count = min(classes, most)
        self._sharing = classes > most
        self._shared = most - 1
        self.of: Numbers = np.full(classes, self._shared) if self._sharing else np.arange(classes)
        self._owner: Numbers = np.full(self._shared, _NOBODY) if self._sharing else np.arange(classes)
        self._rested_s = np.full(len(self._owner), inf)
        self._requests = np.zeros(classes)

    def take_in(self, request_class: Numbers, elapsed_s: float, blank: Callable[[int], bool]) -> None:
        """Assign slots anew after a tick, where classes share.

        Args:
            request_class: of each of the pool's requests.
            elapsed_s: since the last tick.
            blank: whether nothing is known any more of what a slot's former class did.
        """
        if not self._sharing:
            return
        self._rested_s += elapsed_s
        if not len(request_class):  # a quiet night forgets nothing
            return
        self._requests *= exp(-elapsed_s / MEMORY_S)
        self._requests += np.bincount(request_class, minlength=len(self.of))
        waiting = self._ranked((self.of == self._shared) & (self._requests >= LEAST))
        empty = np.flatnonzero(self._owner == _NOBODY).tolist()
        rested = (slot for slot in empty if self._rested_s[slot] >= REST_S and blank(slot))
        for heir, slot in zip(waiting, rested, strict=False):
            self._give(slot, heir)
        self._displace(waiting[len(empty) :])

    def _displace(self, waiting: list[int]) -> None:
        """Let slots rest whose classes have become rare beside those that wait, the rarest first."""
        rarest = reversed(self._ranked(self.of != self._shared))
        for owner, rival in zip(rarest, waiting, strict=False):
            if self._requests[rival] <= LEAD * self._requests[owner] + LEAST:
                return
            slot = self.of[owner]
            self.of[owner], self._owner[slot], self._rested_s[slot] = self._shared, _NOBODY, 0.0

    def _give(self, slot: int, request_class: int) -> None:
        self.of[request_class], self._owner[slot] = slot, request_class

    def _ranked(self, which: npt.NDArray[np.bool_]) -> list[int]:
        """Classes, those with most traffic first."""
        found = np.flatnonzero(which)
        ranked: list[int] = found[np.argsort(-self._requests[found], kind="stable")].tolist()
        return ranked

    def spread(self, claims: Matrix) -> Matrix:
        """From ``[slots, backends]`` to ``[classes, backends]``."""
        return np.asarray(claims[self.of]) if self._sharing else claims

    def names(self, classes: Sequence[str]) -> list[str]:
        """What each slot is called in a checkpoint.

        What a resting slot still knows is of a class that shares now, so it goes by that name.
        """
        return [classes[owner] if owner != _NOBODY else SHARED for owner in self._owner.tolist()] + (
            [SHARED] if self._sharing else []
        )

    def recall(self, requests: Mapping[str, float], classes: Sequence[str]) -> None:
        """Begin with slots for the classes of which most requests came before a restart.

        Args:
            requests: by class, as in a checkpoint.
            classes: the names of the classes now.
        """
        if not self._sharing:
            return
        self._requests = np.array([requests.get(name, 0.0) for name in classes])
        for slot, request_class in enumerate(self._ranked(self._requests > 0.0)[: len(self._owner)]):
            self._give(slot, request_class)
