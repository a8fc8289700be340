"""bayesian_linear: a base latency per class plus a slope by in-flight count, as a Bayesian linear regression.

That is what a first-come-first-served backend shows: a request's own service, plus a wait that grows with the
requests ahead of it whatever their class.
"""

from math import sqrt
from typing import Any

from river.linear_model import BayesianLinearRegression

from smartlb.learning.model import Features
from smartlb.learning.models.one_hot import one_hot

PRECISION = 0.05
"""Of the prior around zero, in requests: small, because the pool's prior is applied outside the model."""


class BayesianLinear:
    """River's `BayesianLinearRegression` with weighted examples.

    It is used without its smoothing, which halves the prior's precision every few hundred examples until the
    matrix is singular; forgetting is the business of `smartlb.learning.generations`.
    """

    def __init__(self) -> None:
        self._model: Any = BayesianLinearRegression(alpha=PRECISION, beta=1.0)

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """Learn `w` examples at once: least squares scaled by the root of the weight."""
        root = sqrt(w)
        self._model.learn_one({name: value * root for name, value in one_hot(x).items()}, y * root)

    def predict_one(self, x: Features) -> float:
        """The posterior mean."""
        return float(self._model.predict_one(one_hot(x)))
