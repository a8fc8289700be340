"""Pools for the tests: as the proxy builds them, from plain lists."""

from array import array
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import inf
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions
from smartlb.policies.registry import POLICIES

BELOW_ONE = 1.0 - 2.0**-53
"""The greatest draw there is."""


def pool_view(
    in_flight: Sequence[int],
    *,
    weight: Sequence[float] | None = None,
    barred: Collection[int] = (),
    learned: Sequence[Sequence[float]] | None = None,
    explore: Sequence[Sequence[float]] | None = None,
    base_s: Sequence[Sequence[float]] | None = None,
    slope_s: Sequence[Sequence[float]] | None = None,
) -> PoolView:
    """A pool of `len(in_flight)` backends.

    Args:
        in_flight: of each backend.
        weight: of each backend; 1.0 where not given.
        barred: positions that may not be picked.
        learned: learned weights, one row a request class; equal where not given.
        explore: probabilities, one row a request class; 0 where not given.
        base_s: a row a class; 0.01 where not given.
        slope_s: a row a class; 0.001 where not given.
    """
    size = len(in_flight)
    learned = learned or [[1.0] * size]
    explore = explore or [[0.0] * size] * len(learned)
    base_s = base_s or [[0.01] * size] * len(learned)
    slope_s = slope_s or [[0.001] * size] * len(learned)
    open_rows = [[0.0 if at in barred else row[at] for at in range(size)] for row in learned]
    return PoolView(
        eligible=array("i", [at for at in range(size) if at not in barred]),
        barred=array("d", [inf if at in barred else 0.0 for at in range(size)]),
        in_flight=array("i", in_flight),
        weight=array("d", weight or [1.0] * size),
        explore=array("d", [total for row in explore for total in accumulate(row)]),
        draw=array("d", [total for row in open_rows for total in accumulate(row)]),
        base_s=array("d", [value for row in base_s for value in row]),
        slope_s=array("d", [value for row in slope_s for value in row]),
    )


def members(weight: Sequence[float]) -> Members:
    """Backends with names of their own."""
    return Members([f"backend-{at}" for at in range(len(weight))], weight)


def options_of(name: str, **given: Any) -> PolicyOptions:
    """A policy's options."""
    return POLICIES[name].options.model_validate(given)


def memory_of(name: str, weight: Sequence[float], **given: Any) -> Any:
    """A policy's memory before the first pick."""
    return POLICIES[name].remember(members(weight), options_of(name, **given))
