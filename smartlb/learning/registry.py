"""Every model and drift detector by its name; river is imported when one is made, not before."""

from collections.abc import Callable
from typing import Any

from smartlb.learning.model import DriftDetector, ErrorModel, LatencyModel
from smartlb.learning.page_hinkley import NoDrift, PageHinkley


def _bayesian_linear() -> LatencyModel:
    from smartlb.learning.models.bayesian_linear import BayesianLinear

    return BayesianLinear()


def _linear() -> LatencyModel:
    from smartlb.learning.models.linear import Linear

    return Linear()


def _linear_quantile() -> LatencyModel:
    from smartlb.learning.models.linear_quantile import LinearQuantile

    return LinearQuantile()


def _hoeffding_tree() -> LatencyModel:
    from smartlb.learning.models.hoeffding_tree import HoeffdingTree

    return HoeffdingTree()


def _mean() -> LatencyModel:
    from smartlb.learning.models.mean import MeanLatency

    return MeanLatency()


def _ewm_rate() -> ErrorModel:
    from smartlb.learning.models.ewm_rate import EwmRate

    return EwmRate()


def _logistic() -> ErrorModel:
    from smartlb.learning.models.logistic import Logistic

    return Logistic()


def _page_hinkley() -> DriftDetector:
    # In standard deviations of a tick's surprise.
    return PageHinkley(min_instances=3, delta=0.6, threshold=6.5)


def _adwin() -> DriftDetector:
    from river import drift

    untyped: Any = drift
    detector: DriftDetector = untyped.ADWIN(delta=0.002, clock=1, min_window_length=3, grace_period=6)
    return detector


LATENCY_MODELS: dict[str, Callable[[], LatencyModel]] = {
    "bayesian_linear": _bayesian_linear,
    "linear": _linear,
    "linear_quantile": _linear_quantile,
    "hoeffding_tree": _hoeffding_tree,
    "mean": _mean,
}
"""Latency by in-flight count and class; one per backend."""

ERROR_MODELS: dict[str, Callable[[], ErrorModel]] = {"ewm_rate": _ewm_rate, "logistic": _logistic}
"""Share of failed requests by class (and load, where the model cares); one per backend."""

DRIFT_DETECTORS: dict[str, Callable[[], DriftDetector]] = {
    "page_hinkley": _page_hinkley,
    "adwin": _adwin,
    "none": NoDrift,
}
"""Changes of a backend."""
