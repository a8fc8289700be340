"""What every distribution offers: its shape, and from it amounts of work or of tokens."""

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
from pydantic import Field

from smartlb.config.model import Section

Amounts = npt.NDArray[np.float64]
"""One amount a request."""


class Shape(Section):
    """A distribution of positive amounts whose mean is one; every distribution has a `kind` that names it."""

    @abstractmethod
    def relative(self, rng: np.random.Generator, n: int) -> Amounts:
        """Draw `n` amounts with mean 1; many small draws give the same as one big one."""


class Work(Shape):
    """Work in time: what a server of speed 1 needs for a request with nothing else to do."""

    mean_ms: float = Field(gt=0, le=3_600_000, description="Mean work of a request, at speed 1.")

    @property
    def mean_s(self) -> float:
        """Mean of what `draw` gives, exactly: a bound is taken into account."""
        return self.mean_ms / 1e3

    def draw(self, rng: np.random.Generator, n: int) -> Amounts:
        """Draw the work of `n` requests, in seconds."""
        return self.mean_s * self.relative(rng, n)


class Tokens(Shape):
    """Numbers of tokens; fractions are as good as whole numbers here."""

    mean_tokens: float = Field(gt=0, le=1e9, description="Mean number of tokens of a request.")

    def draw(self, rng: np.random.Generator, n: int) -> Amounts:
        """Draw the tokens of `n` requests."""
        return self.mean_tokens * self.relative(rng, n)
