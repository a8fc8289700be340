"""mean: the mean latency of each class, whatever the load; the plainest model, to compare others with."""

from collections import defaultdict

from river.stats import Mean

from smartlb.learning.model import Features


class MeanLatency:
    """River's `Mean`, one per class."""

    def __init__(self) -> None:
        self._means: defaultdict[float, Mean] = defaultdict(Mean)

    def learn_one(self, x: Features, y: float, w: float) -> None:
        """Take `w` requests into the mean of their class."""
        self._means[x["request_class"]].update(y, w)

    def predict_one(self, x: Features) -> float:
        """The mean of the class; 0 for one that is new."""
        return float(self._means[x["request_class"]].get())
