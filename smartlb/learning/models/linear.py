"""linear: the same line as bayesian_linear by stochastic gradient descent, which takes time linear in the features."""

from typing import Any

from river.linear_model import LinearRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

from smartlb.learning.model import Features
from smartlb.learning.models.one_hot import one_hot

HEAVIEST = 8.0
"""Largest weight of an example: with learning rate 0.02 and standardised features a step stays stable."""


class Linear:
    """River's `LinearRegression` behind its `StandardScaler`."""

    def __init__(self) -> None:
        self._scaler: Any = StandardScaler()
        self._model: Any = LinearRegression(optimizer=SGD(0.02), intercept_init=1.0, intercept_lr=0.02)

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """One step of gradient descent."""
        encoded = one_hot(x)
        self._scaler.learn_one(encoded)
        self._model.learn_one(self._scaler.transform_one(encoded), y, w=min(w, HEAVIEST))

    def predict_one(self, x: Features) -> float:
        """The line's value."""
        return float(self._model.predict_one(self._scaler.transform_one(one_hot(x))))
