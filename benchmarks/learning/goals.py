"""A figure beside its goal, and tables of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.rig.goals import Bound, Goal

_STANDING: Final[Mapping[str, Bound]] = {
    "p99": Bound(1.2),
    "p99.worst": Bound(1.5),
    "p99.other": Bound(1.05),
    "p99.clearly": Bound(1.0 / 3.0, at_least=True),
    "mean.other": Bound(1.05),
    "mean.clearly": Bound(1.0 / 3.0, at_least=True),
    "errors": Bound(0.0),
}

GOALS: Final[Mapping[str, Bound]] = {
    **{
        f"{part}.{figure}": goal
        for part in ("loads.0.5", "loads.0.8", "held_out")
        for figure, goal in _STANDING.items()
    },
    **{f"routers.{load}.p99": Bound(1.4) for load in (0.5, 0.8)},
    **{f"routers.{load}.p99.worst": Bound(1.8) for load in (0.5, 0.8)},
    "slow.settles": Bound(1.0),
    "slow.p99": Bound(2.0),
    "recovered.settles": Bound(5.0),
    "joins.settles": Bound(5.0),
    "joins.load": Bound(1.0),
    "joins.cold.settles": Bound(5.0),
    "joins.cold.load": Bound(1.0),
    "cost.20.cores": Bound(0.05),
    "cost.20.age.worst": Bound(300.0),
    "cost.1000.cores": Bound(0.30),
    "cost.1000.age.worst": Bound(300.0),
}
"""By the key of a `Row`; a figure without one is shown for its own sake."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        key: of `GOALS`.
        what: the figure in words, with its unit.
        figure: its value; infinity where it is never reached, None where it could not be measured.
        where: the scenario that it is of, or what else it rests on.
    """

    key: str
    what: str
    figure: float | None
    where: str = ""

    @property
    def bound(self) -> Bound | None:
        """What it should be."""
        return GOALS.get(self.key)

    @property
    def goal(self) -> Goal | None:
        """The figure beside what it should be; None where that is not said."""
        return (
            None
            if self.bound is None
            else Goal(f"{self.key}: {self.what.removeprefix('... ')}", self.figure, self.bound)
        )

    @property
    def met(self) -> bool | None:
        """Whether it is; None where it has no goal."""
        return None if self.bound is None else self.bound.kept(self.figure)

    def as_json(self) -> dict[str, object]:
        """The same for a file; what is not a number there is null."""
        return {
            "key": self.key,
            "what": self.what,
            "figure": finite(self.figure),
            "goal": None if self.bound is None else self.bound.value,
            "met": self.met,
            "where": self.where,
        }


def table(title: str, rows: Sequence[Row]) -> Table:
    """Figures beside goals, for the terminal."""
    lines = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    lines.add_column("figure")
    lines.add_column("", justify="right")
    lines.add_column("goal", justify="right")
    lines.add_column("")
    lines.add_column("of")
    for row in rows:
        of = row.bound
        bound = "" if of is None else f"{'≥' if of.at_least else '≤'} {shown(of.value)}"
        verdict = {None: "", True: "met", False: "missed"}[row.met]
        lines.add_row(row.what, shown(row.figure), bound, verdict, row.where)
    return lines


def finite(figure: float | None) -> float | None:
    """A number as JSON has it, which knows no infinity."""
    return figure if figure is not None and isfinite(figure) else None


def shown(figure: float | None) -> str:
    """A number as tables have it."""
    if figure is None:
        return "–"
    if not isfinite(figure):
        return "never"
    return f"{figure:,.0f}" if abs(figure) >= 1000.0 else f"{figure:.3g}"
