"""constant: every request asks for the same."""

from typing import Literal

import numpy as np
from pydantic import Field

from simulator.workload.work.distribution import Amounts, Shape, Tokens, Work


class _Constant(Shape):
    kind: Literal["constant"] = Field(default="constant", description="Always the same.")

    def relative(self, rng: np.random.Generator, n: int) -> Amounts:  # noqa: ARG002
        return np.ones(n)


class Constant(_Constant, Work):
    """The same work for every request."""


class ConstantTokens(_Constant, Tokens):
    """The same number of tokens for every request."""
