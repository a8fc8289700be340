"""What a learned model is: river's interface, with a weight for how many requests an example stands for."""

from collections.abc import Mapping
from typing import Protocol

Features = Mapping[str, float]
"""What models see of a request: ``in_flight`` at its backend at dispatch, in units of what the pool had in flight
when the model was made, and ``request_class``, a number that is a name: its order means nothing."""


def features(in_flight: float, request_class: int) -> Features:
    """The features of a request."""
    return {"in_flight": in_flight, "request_class": request_class}


class LatencyModel(Protocol):
    """Anything with river's regressor methods; latencies come in units in which the pool's typical one is 1."""

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """Learn that `w` requests of features `x` took `y` on average."""

    def predict_one(self, x: Features) -> float:
        """The expected latency."""


class ErrorModel(Protocol):
    """Anything with river's classifier methods over True (failed) and False."""

    def learn_one(self, x: Features, y: bool, w: float) -> None:
        """Learn that `w` requests of features `x` failed, or did not."""

    def predict_proba_one(self, x: Features) -> dict[bool, float]:
        """How likely either is."""


class DriftDetector(Protocol):
    """Anything with river's drift detector methods; see `smartlb.learning.drift` for what it is fed."""

    def update(self, x: float) -> object:
        """Take in the next value of the series that is watched."""

    @property
    def drift_detected(self) -> bool:
        """Whether the series changed with the last value."""
