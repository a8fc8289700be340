"""lognormal: a hump with a long tail, as service times are found to have."""

from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.work.distribution import Amounts, Shape, Tokens, Work


def lognormal(sigma: float, normals: Amounts) -> Amounts:
    """Lognormal amounts with mean 1 from standard normal ones; their logarithms have the standard deviation `sigma`."""
    amounts: Amounts = np.exp(sigma * normals - sigma**2 / 2)
    return amounts


class _Lognormal(Shape):
    kind: Literal["lognormal"] = Field(default="lognormal", description="A hump with a long tail.")
    sigma: float = Field(default=0.6, ge=0, le=4, description="Standard deviation of the logarithm.")

    def relative(self, rng: np.random.Generator, n: int) -> Amounts:
        return lognormal(self.sigma, rng.standard_normal(n))


class Lognormal(_Lognormal, Work):
    """Lognormal work."""


class LognormalTokens(_Lognormal, Tokens):
    """Lognormal numbers of tokens."""
