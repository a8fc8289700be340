"""logistic: the odds of failure by class and in-flight count, for backends that fail under load."""

from typing import Any

from river.linear_model import LogisticRegression
from river.optim import SGD

from smartlb.learning.model import Features
from smartlb.learning.models.one_hot import one_hot

HEAVIEST = 20.0
"""Largest weight of an example, so that a step stays stable."""


class Logistic:
    """River's `LogisticRegression`, starting from rare failures."""

    def __init__(self) -> None:
        self._model: Any = LogisticRegression(optimizer=SGD(0.05), intercept_init=-4.0, intercept_lr=0.05)

    def learn_one(self, x: Features, y: bool, w: float) -> None:
        """One step of gradient descent."""
        self._model.learn_one(self._bounded(x), y, w=min(w, HEAVIEST))

    def predict_proba_one(self, x: Features) -> dict[bool, float]:
        """The probabilities of failure and success."""
        probability: dict[bool, float] = self._model.predict_proba_one(self._bounded(x))
        return probability

    @staticmethod
    def _bounded(x: Features) -> dict[str, float]:
        encoded = one_hot(x)
        encoded["in_flight"] = min(encoded["in_flight"], 4.0)
        return encoded
