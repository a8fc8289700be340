"""pareto: few requests make up most of the work.

With a bound it is the bounded Pareto distribution (Harchol-Balter, "Performance Modeling and Design of Computer
Systems", chapter 20), whose density ends at the bound; its mean is `mean_ms` all the same.
"""

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.work.distribution import Amounts, Shape, Tokens, Work


class _Pareto(Shape):
    kind: Literal["pareto"] = Field(default="pareto", description="A heavy tail: a power law.")
    alpha: float = Field(default=1.5, gt=1, le=100, description="Exponent of the tail; the nearer to 1, the heavier.")
    bound: float | None = Field(
        default=None, ge=2, le=1e9, description="Largest amount, in units of the mean; none where not given."
    )

    def relative(self, rng: np.random.Generator, n: int) -> Amounts:
        left = rng.random(n) * (self._beyond - 1) + 1  # share of requests that are larger; from 1 down to `_beyond`
        amounts: Amounts = self._least * left ** (-1 / self.alpha)
        return amounts

    @cached_property
    def _beyond(self) -> float:
        """Share of an unbounded distribution that lies beyond the bound."""
        return 0.0 if self.bound is None else (self._least / self.bound) ** self.alpha

    @cached_property
    def _least(self) -> float:
        """Smallest amount of a distribution with mean 1."""
        if self.bound is None:
            return (self.alpha - 1) / self.alpha
        low, high = 0.0, 1.0
        for _ in range(60):  # the mean grows with the smallest amount
            middle = (low + high) / 2
            low, high = (middle, high) if _mean(middle, self.bound, self.alpha) < 1 else (low, middle)
        return high


def _mean(least: float, bound: float, alpha: float) -> float:
    share = least / bound
    mean: float = least * alpha / (alpha - 1) * (1 - share ** (alpha - 1)) / (1 - share**alpha)
    return mean


class Pareto(_Pareto, Work):
    """Pareto work."""


class ParetoTokens(_Pareto, Tokens):
    """Pareto numbers of tokens."""
