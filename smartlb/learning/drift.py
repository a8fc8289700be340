"""What drift detectors watch: how much a tick's requests surprised the model, in standard deviations."""

from math import sqrt

WIDEST = 4.0
"""Surprises are cut here, so that no single tick is a drift by itself."""

LEAST_VARIANCE = 0.1
"""Added to an error rate's variance, so that a single failure of a faultless backend is no upheaval."""


def error_surprise(failures: float, expected: float, variance: float) -> float:
    """By how much the number of failures missed the prediction.

    Args:
        failures: how many of the tick's requests failed.
        expected: how many the model expected.
        variance: of that number, by the model.
    """
    surprise = (failures - expected) / sqrt(variance + LEAST_VARIANCE)
    return min(max(surprise, -WIDEST), WIDEST)
