"""The Page-Hinkley test, and the detector that never finds anything.

river has both; but `river.drift` brings pandas and scikit-learn along, 80 MB of a learner's resident memory.
"""

from math import inf


class PageHinkley:
    """Finds that the mean of a series moved, in either direction.

    E. S. Page, "Continuous Inspection Schemes", Biometrika 41 (1954). The same as `river.drift.PageHinkley` with
    ``alpha=1``, value for value: its fading of the sums would fade the allowance too.

    Args:
        min_instances: values before a change is looked for.
        delta: how far from the mean a value may be and count as nothing.
        threshold: how far the sum of what is beyond may go from its extreme.
    """

    def __init__(self, min_instances: int, delta: float, threshold: float) -> None:
        self._min_instances = min_instances
        self._delta = delta
        self._threshold = threshold
        self._begin()

    def _begin(self) -> None:
        self.drift_detected = False
        self._values = 0
        self._mean = 0.0
        self._rise, self._least_rise = 0.0, inf
        self._fall, self._greatest_fall = 0.0, -inf

    def update(self, x: float) -> None:
        """Take in the next value; the one after a change begins anew."""
        if self.drift_detected:
            self._begin()
        self._values += 1
        self._mean += (1.0 / self._values) * (x - self._mean)
        beyond = x - self._mean
        self._rise = self._rise + beyond - self._delta
        self._fall = self._fall + beyond + self._delta
        self._least_rise = min(self._least_rise, self._rise)
        self._greatest_fall = max(self._greatest_fall, self._fall)
        if self._values >= self._min_instances:
            furthest = max(self._rise - self._least_rise, self._greatest_fall - self._fall)
            self.drift_detected = furthest > self._threshold


class NoDrift:
    """Finds no change."""

    drift_detected = False

    def update(self, x: float) -> None:
        """Take in the next value."""
