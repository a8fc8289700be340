"""Weights as integers, for policies that add them up.

Integers have the same sum in whatever order they are added, so a loop and numpy agree to the last bit, and
what is added and taken away for months does not drift.
"""

from array import array
from collections.abc import Iterable

UNITS = 1_000_000
"""How many units a weight of 1.0 has."""


def weight_units(weights: Iterable[float]) -> "array[int]":
    """Each of `weights` in millionths, at least 1."""
    return array("q", [max(1, round(weight * UNITS)) for weight in weights])
