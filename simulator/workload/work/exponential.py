"""exponential: many small requests and some that are several times the mean."""

from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.work.distribution import Amounts, Shape, Tokens, Work


class _Exponential(Shape):
    kind: Literal["exponential"] = Field(default="exponential", description="Exponential; memoryless.")

    def relative(self, rng: np.random.Generator, n: int) -> Amounts:
        return rng.standard_exponential(n)


class Exponential(_Exponential, Work):
    """Exponential work."""


class ExponentialTokens(_Exponential, Tokens):
    """Exponential numbers of tokens."""
