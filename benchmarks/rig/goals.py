"""What figures should come to, and whether they do: every benchmark says it in this form."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a figure may be, or the least.

    Attributes:
        value: the bound, itself within.
        at_least: whether it is the least.
    """

    value: float
    at_least: bool = False

    def kept(self, figure: float | None) -> bool:
        """Whether a figure keeps it; one that was not measured does not."""
        if figure is None:
            return False
        return figure >= self.value if self.at_least else figure <= self.value

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, and what it should be.

    Attributes:
        what: the figure in words, with its unit.
        value: what it is; None where it was not measured.
        bound: what it should keep.
    """

    what: str
    value: float | None
    bound: Bound

    @property
    def reached(self) -> bool:
        """Whether the figure is there, and as it should be."""
        return self.bound.kept(self.value)

    def as_json(self) -> dict[str, object]:
        """One object of the report; a value that is no finite number is null there."""
        value = self.value if self.value is not None and isfinite(self.value) else None
        return {"name": f"{self.what}, {self.bound}", "value": value, "goal": self.bound.value, "reached": self.reached}


def at_least(what: str, value: float | None, bound: float) -> Goal:
    """A figure that should not be less."""
    return Goal(what, value, Bound(bound, at_least=True))


def at_most(what: str, value: float | None, bound: float) -> Goal:
    """A figure that should not be more."""
    return Goal(what, value, Bound(bound))


def ratio(of: float | None, to: float | None) -> float | None:
    """The first over the second, to a thousandth; None where one is missing, or the second is 0."""
    return None if of is None or not to else round(of / to, 3)


def lines(goals: Sequence[Goal]) -> list[str]:
    """A line for each goal, as pages and terminals show it."""
    return [f"{_verdict(goal):<13}{goal.what}: {_shown(goal.value)}, {goal.bound}" for goal in goals]


def _verdict(goal: Goal) -> str:
    return "not measured" if goal.value is None else "reached" if goal.reached else "MISSED"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
