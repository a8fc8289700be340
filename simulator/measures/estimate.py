"""A mean over seeds, and how far off it may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of independent runs' figures, with a 95 % confidence interval.

    Attributes:
        mean: of them.
        half_width: the interval is `mean` ± this, by Student's t; None for one run, which says nothing about others.
        count: how many runs.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def excludes_zero(self) -> bool | None:
        """Whether the interval lies on one side of 0; None where there is no interval."""
        return None if self.half_width is None else abs(self.mean) > self.half_width


def estimate(values: Sequence[float | None]) -> Estimate | None:
    """The estimate from one value a run; None where any run has none, as a mean of the others would mislead."""
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return None
    if len(numbers) == 1:
        return Estimate(numbers[0], None, 1)
    from scipy.special import stdtrit

    return Estimate(
        fmean(numbers), float(stdtrit(len(numbers) - 1, 0.975)) * stdev(numbers) / sqrt(len(numbers)), len(numbers)
    )
