"""linear_quantile: the same line through the median instead of the mean, which single slow requests hardly move."""

from typing import Any

from river.linear_model import LinearRegression
from river.optim import AdaGrad
from river.optim.losses import Quantile

from smartlb.learning.model import Features
from smartlb.learning.models.linear import HEAVIEST
from smartlb.learning.models.one_hot import one_hot

QUANTILE = 0.5
"""Examples are means of several requests already, so a high quantile of theirs would be none of the requests'."""

RATE = 0.5
"""Learning rate. The loss says only on which side of the line an example was, so steps do not shrink as the line gets
near; AdaGrad makes them smaller with the root of how many there were."""


class LinearQuantile:
    """River's `LinearRegression` with the quantile loss; classes share a level, and differ from it."""

    def __init__(self) -> None:
        # The level is a feature like any other, as river's intercept has a rate of its own.
        self._model: Any = LinearRegression(
            optimizer=AdaGrad(RATE), loss=Quantile(QUANTILE), intercept_init=1.0, intercept_lr=0.0
        )

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """One step toward the example."""
        self._model.learn_one(_encoded(x), y, w=min(w, HEAVIEST))

    def predict_one(self, x: Features) -> float:
        """The line's value."""
        return float(self._model.predict_one(_encoded(x)))


def _encoded(x: Features) -> dict[str, float]:
    return one_hot(x) | {"level": 1.0}
