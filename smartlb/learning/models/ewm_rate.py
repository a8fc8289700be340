"""ewm_rate: the share of failed requests, old ones counting less and less."""

from collections import defaultdict
from dataclasses import dataclass

from smartlb.learning.model import Features

HALF_LIFE = 50.0
"""After how many requests an outcome counts half."""

PRIOR = 8.0
"""How many requests the backend's rate over all classes counts as in the rate of one class."""


@dataclass(slots=True)
class _Decayed:
    failures: float = 0.0
    requests: float = 0.0

    def add(self, failed: bool, count: float) -> None:
        keep = 0.5 ** (count / HALF_LIFE)
        self.failures = self.failures * keep + count * failed
        self.requests = self.requests * keep + count

    def rate(self, prior: float, strength: float) -> float:
        total = self.requests + strength
        return (self.failures + prior * strength) / total if total else 0.0


class EwmRate:
    """Exponentially weighted failure rates of a backend: one over all classes, and one of each drawn toward it."""

    def __init__(self) -> None:
        self._all = _Decayed()
        self._classes: defaultdict[float, _Decayed] = defaultdict(_Decayed)

    def learn_one(self, x: Features, y: bool, w: float) -> None:
        """Take in `w` requests that failed, or did not."""
        self._all.add(y, w)
        self._classes[x["request_class"]].add(y, w)

    def predict_proba_one(self, x: Features) -> dict[bool, float]:
        """The rates of failure and success."""
        rate = self._classes[x["request_class"]].rate(self._all.rate(0.0, 0.0), PRIOR)
        return {True: rate, False: 1.0 - rate}
