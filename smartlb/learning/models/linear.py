"""linear: the same line as bayesian_linear by stochastic gradient descent, which takes time linear in the features."""

from typing import Any

from river.linear_model import LinearRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

from smartlb.learning.model import Features
from smartlb.learning.models.one_hot import one_hot

RATE = 0.02
"""Learning rate."""

HEAVIEST = 8.0
"""Largest weight of an example; at loads farther than one standard deviation from their mean, less is stable."""


class Linear:
    """River's `LinearRegression` over standardised loads; classes are indicators already."""

    def __init__(self) -> None:
        self._scaler: Any = StandardScaler()
        self._model: Any = LinearRegression(optimizer=SGD(RATE), intercept_init=1.0, intercept_lr=RATE)

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """One step of gradient descent, which never goes beyond the example."""
        self._scaler.learn_one({"in_flight": x["in_flight"]})
        encoded = self._encoded(x)
        # The gradient of the squared loss has a factor 2, the intercept an input of 1.
        norm = 1.0 + sum(value * value for value in encoded.values())
        self._model.learn_one(encoded, y, w=min(w, HEAVIEST, 1.0 / (2.0 * RATE * norm)))

    def predict_one(self, x: Features) -> float:
        """The line's value."""
        return float(self._model.predict_one(self._encoded(x)))

    def _encoded(self, x: Features) -> dict[str, float]:
        encoded: dict[str, float] = self._scaler.transform_one({"in_flight": x["in_flight"]})
        return one_hot(x) | encoded
