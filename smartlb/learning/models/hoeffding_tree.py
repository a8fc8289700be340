"""hoeffding_tree: steps instead of a line, for backends whose latency does not grow evenly with load."""

from typing import Any

from river.tree import HoeffdingTreeRegressor

from smartlb.learning.model import Features


class HoeffdingTree:
    """River's `HoeffdingTreeRegressor` with means in its leaves, splitting early because examples are means already."""

    def __init__(self) -> None:
        self._model: Any = HoeffdingTreeRegressor(grace_period=20, delta=0.01, max_depth=6, leaf_prediction="mean")

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """Learn `w` examples at once."""
        self._model.learn_one(dict(x), y, w=w)

    def predict_one(self, x: Features) -> float:
        """The mean of the leaf that `x` falls in."""
        return float(self._model.predict_one(dict(x)))
