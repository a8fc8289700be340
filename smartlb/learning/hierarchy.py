"""From pool to backend: what is claimed of a backend leans on its pool as long as its own evidence is thin."""

from math import exp

import numpy as np

from smartlb.learning.cells import Matrix
from smartlb.learning.seats import Kept, seated

AFFINITY_S = 5.0
"""Time constant at which it is learned for which classes a backend is better than for others."""

AFFINITY_KEPT_S = 60.0
"""Time constant at which that is forgotten where nothing new supports it."""


def pooled(claim: Matrix, evidence: Matrix, unknown: float) -> Matrix:
    """What a pool's requests see on average.

    Args:
        claim: ``[classes, backends]``.
        evidence: ``[classes, backends]``; how many requests each claim rests on.
        unknown: where there is none at all.

    Returns:
        ``[classes, 1]``; for a class that is new the average over all classes.
    """
    total = evidence.sum(axis=1, keepdims=True)
    sums = (claim * evidence).sum(axis=1, keepdims=True)
    everything = float(total.sum())
    overall = float(sums.sum()) / everything if everything else unknown
    return np.asarray(np.where(total > 0.0, sums / np.where(total > 0.0, total, 1.0), overall))


def tempered(claim: Matrix, evidence: Matrix, strength: float, prior: Matrix) -> Matrix:
    """Claims drawn toward a prior that counts as `strength` requests."""
    return np.asarray((claim * evidence + prior * strength) / (evidence + strength))


class Affinity:
    """For which classes a backend is better than for others, in logarithms of latency.

    Models forget within seconds; this is kept longer, as what kinds of work suit a machine seldom changes. How a
    backend does over all classes is left out, so that one that recovers is not held down by its past.

    Args:
        classes: how many request classes there are.
        backends: how many backends the pool has.
    """

    def __init__(self, classes: int, backends: int) -> None:
        self.log_ratio = np.zeros((classes, backends))

    def reseat(self, kept: Kept) -> None:
        """The pool has other backends."""
        self.log_ratio = seated(self.log_ratio, kept)

    def learn(self, log_ratio: Matrix, mix: Matrix, trust: Matrix, elapsed_s: float) -> None:
        """Take in how backends compare with their pool now.

        Args:
            log_ratio: ``[classes, backends]``; logarithm of latency over the pool's.
            mix: ``[classes]``; shares of the traffic, above zero.
            trust: ``[classes, backends]``; from 0 to 1, how far each ratio is to be believed.
            elapsed_s: since the last call.
        """
        centred = log_ratio - np.average(log_ratio, axis=0, weights=mix)
        gain = (1.0 - exp(-elapsed_s / AFFINITY_S)) * trust
        kept = exp(-elapsed_s / AFFINITY_KEPT_S)
        self.log_ratio = self.log_ratio * kept * (1.0 - gain) + centred * gain
