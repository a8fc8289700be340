"""uniform: any amount around the mean is as likely as another."""

from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.work.distribution import Amounts, Shape, Tokens, Work


class _Uniform(Shape):
    kind: Literal["uniform"] = Field(default="uniform", description="Equally likely within bounds.")
    spread: float = Field(default=0.5, ge=0, lt=1, description="The bounds lie this share of the mean off the mean.")

    def relative(self, rng: np.random.Generator, n: int) -> Amounts:
        return 1 + self.spread * (2 * rng.random(n) - 1)


class Uniform(_Uniform, Work):
    """Uniform work."""


class UniformTokens(_Uniform, Tokens):
    """Uniform numbers of tokens."""
