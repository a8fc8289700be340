"""Which backends are owed a request, so that none keeps a bad name for ever.

A backend that looks bad loses every comparison, so nothing new would be learned of it. Each backend is therefore owed a
small share of the traffic; while it has had less, requests are sent there by chance, about one a tick and debt.
"""

import numpy as np

from smartlb.learning.cells import Matrix

BACKEND_SHARE = 1.5
"""What a backend is owed, in exploration floors of its fair share."""

PAIR_SHARE = 0.25
"""What a backend is owed of each class, likewise: affinities change more slowly than backends fail."""

MOST = 1.0
"""Debts and credits end here, so that neither long silence nor a flood has a long echo."""

MOST_EXPLORED = 0.1
"""Largest share of a class's requests that is sent to learn."""


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
        self._requests = np.zeros(classes)

    def settle(self, requests: Matrix) -> None:
        """Take in a tick's ``[classes, backends]`` requests: all of them raise the debts, a backend's own pay it."""
        self._requests = requests.sum(axis=1)
        self._backend += BACKEND_SHARE * self._floor * requests.sum() - requests.sum(axis=0)
        self._pair += PAIR_SHARE * self._floor * requests.sum(axis=1, keepdims=True) - requests
        np.clip(self._backend, -MOST, MOST, out=self._backend)
        np.clip(self._pair, -MOST, MOST, out=self._pair)

    @property
    def due(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """``[classes, backends]``: where a request is owed."""
        return (self._backend > 0.0) | (self._pair > 0.0)

    @property
    def chances(self) -> Matrix:
        """``[classes, backends]``: probability that a request is sent somewhere because that is owed one.

        One request a tick and debt is to be expected, if as many come as in the last tick.
        """
        by_class = self._requests[:, None]
        chances = np.where(self._backend > 0.0, 1.0 / max(float(self._requests.sum()), 1.0), 0.0) + np.where(
            (self._pair > 0.0) & (by_class > 0.0), 1.0 / np.maximum(by_class, 1.0), 0.0
        )
        total = chances.sum(axis=1, keepdims=True)
        return np.asarray(chances * np.minimum(1.0, MOST_EXPLORED / np.maximum(total, 1e-12)))
