"""Which backends are owed a request, so that none keeps a bad name for ever.

A backend that looks bad loses every comparison in which it is drawn, so nothing new would be learned of it. Each
backend is therefore owed a small share of the traffic; while it has had less, its cost is published as a bargain.
How many requests that brings is bounded twice: by the debt, and by how often its weight lets it be drawn.
"""

import numpy as np

from smartlb.learning.cells import Matrix

BACKEND_SHARE = 2.0
"""What a backend is owed, in exploration floors of its fair share: what its floor weight lets two draws find."""

PAIR_SHARE = 0.25
"""What a backend is owed of each class, likewise: affinities change more slowly than backends fail."""

MOST = 1.0
"""Debts and credits end here, so that neither long silence nor a flood has a long echo."""


class Debts:
    """What is owed to a pool's backends.

    Args:
        classes: how many request classes there are.
        backends: how many backends the pool has.
        floor: the share of a fair share that every backend keeps.
        rng: sets where debts begin, so that backends do not come due together.
    """

    def __init__(self, classes: int, backends: int, floor: float, rng: np.random.Generator) -> None:
        self._floor = floor / backends
        self._backend = -rng.random(backends) * MOST
        self._pair = -rng.random((classes, backends)) * MOST

    def settle(self, requests: Matrix) -> None:
        """Take in a tick's ``[classes, backends]`` requests: all of them raise the debts, a backend's own pay it."""
        self._backend += BACKEND_SHARE * self._floor * requests.sum() - requests.sum(axis=0)
        self._pair += PAIR_SHARE * self._floor * requests.sum(axis=1, keepdims=True) - requests
        np.clip(self._backend, -MOST, MOST, out=self._backend)
        np.clip(self._pair, -MOST, MOST, out=self._pair)

    @property
    def due(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """``[classes, backends]``: where a request is owed."""
        return (self._backend > 0.0) | (self._pair > 0.0)
