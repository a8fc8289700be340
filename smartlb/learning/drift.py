"""What drift detectors watch: how much a tick's requests surprised the model, in standard deviations."""

from math import inf, log, sqrt

WIDEST = 4.0
"""Surprises are cut here, so that no single tick is a drift by itself."""

MOST_REQUESTS = 4.0
"""More requests in a tick sharpen the surprise no further: a model is never exact, and beyond this its own misfit
would look like change."""

LEAST_REQUESTS = 3.0
"""Fewer requests make no surprise yet: one that was quick by luck looks like a backend that has become fast."""

LEAST_VARIANCE = 0.1
"""Added to an error rate's variance, so that a single failure of a faultless backend is no upheaval."""


def latency_surprise(actual: float, predicted: float, requests: float) -> float:
    """By how much latencies missed the prediction.

    Ratios, because slow backends vary more; the deviation of a mean of `requests` exponential times relative to
    its size is ``1 / sqrt(requests)``.

    Args:
        actual: total latency of the tick's requests.
        predicted: what the model expected of the same requests, same unit.
        requests: how many.
    """
    if actual <= 0.0 or predicted <= 0.0:
        return 0.0
    return cut(log(actual / predicted) * sqrt(min(requests, MOST_REQUESTS)))


def error_surprise(failures: float, expected: float, variance: float) -> float:
    """By how much the number of failures missed the prediction.

    Args:
        failures: how many of the tick's requests failed.
        expected: how many the model expected.
        variance: of that number, by the model.
    """
    return cut((failures - expected) / sqrt(variance + LEAST_VARIANCE))


class LatencyWatch:
    """Latency surprises over spans no shorter than the usual latency.

    Within a shorter span requests that took long are missing, and neighbouring spans share their luck.
    """

    def __init__(self) -> None:
        self._since_s = -inf
        self._actual = self._predicted = self._requests = 0.0

    def add(self, actual: float, predicted: float, requests: float, time_s: float, span_s: float) -> float | None:
        """Take in a tick's total latencies as for `latency_surprise`; a surprise when a span is over."""
        self._actual += actual
        self._predicted += predicted
        self._requests += requests
        if time_s - self._since_s < span_s or self._requests < LEAST_REQUESTS:
            return None
        surprise = latency_surprise(self._actual, self._predicted, self._requests)
        self._since_s = time_s
        self._actual = self._predicted = self._requests = 0.0
        return surprise


def cut(surprise: float) -> float:
    """A surprise within bounds."""
    return min(max(surprise, -WIDEST), WIDEST)
