"""The rounds of a proxy as one object of JSON, and all of them as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from benchmarks.rig.goals import ratio
from benchmarks.rig.measuring import Measurement

FIGURES = ("requests_per_s", "p50_ms", "p99_ms", "cpu_us_per_request", "cpu_us_per_request_all", "rss_mb", "pss_mb")
"""What each round measures; reported with minimum, median and maximum."""

_HEADINGS = ("requests/s", "p50 ms", "p99 ms", "CPU µs/request", "CPU all", "RSS MB", "PSS MB")
_COMPARED_WITH = ("nginx", "envoy")
OWN = "smartlb"


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of one proxy with one shape.

    Attributes:
        name, version: of the proxy.
        shape: its name.
        rounds: all of them.
        instructions: in user mode for a request; None where they were not counted.
    """

    name: str
    version: str
    shape: str
    rounds: Sequence[Measurement]
    instructions: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as one object of the JSON report; units are in the names."""
        spreads = {figure: spread([getattr(one, figure) for one in self.rounds]) for figure in FIGURES}
        return {
            "name": self.name,
            "version": self.version,
            "shape": self.shape,
            "rounds": len(self.rounds),
            **spreads,
            "instructions_per_request": self.instructions,
            "errors": sum(one.errors for one in self.rounds),
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum of `values`, not empty, rounded to a thousandth."""
    return {
        "min": round(min(values), 3),
        "median": round(median(values), 3),
        "max": round(max(values), 3),
    }


def compared(rows: Sequence[Mapping[str, Any]], figure: str, other: str, shape: str | None = None) -> float | None:
    """The median of a figure of smartlb's over that of another; None where one was not measured, or has errors.

    Args:
        rows: of the JSON report.
        figure: with minimum, median and maximum.
        other: name of the other.
        shape: of the rows; None where all have the same.
    """
    medians = {
        row["name"]: row[figure]["median"]
        for row in rows
        if figure in row and not row.get("errors") and (shape is None or row["shape"] == shape)
    }
    return ratio(medians.get(OWN), medians.get(other))


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cell(values: dict[str, float]) -> str:
    middle = _digits(values["median"])
    if values["min"] == values["max"]:
        return middle
    return f"{middle}\n[dim]{_digits(values['min'])}–{_digits(values['max'])}[/dim]"


def ratios(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say in a line for each of nginx and Envoy how smartlb compares; `rows` are of one shape."""
    by_name = {row["name"]: row for row in rows}
    if OWN not in by_name:
        return []
    lines = []
    for other in _COMPARED_WITH:
        if other in by_name:
            shares = [
                f"{what} {by_name[OWN][figure]['median'] / by_name[other][figure]['median']:.2f}"
                for what, figure in (
                    ("requests/s", "requests_per_s"),
                    ("p50", "p50_ms"),
                    ("p99", "p99_ms"),
                    ("CPU/request", "cpu_us_per_request"),
                    ("with all its processes", "cpu_us_per_request_all"),
                )
                if by_name[other][figure]["median"]
            ]
            count, counts = (by_name[name]["instructions_per_request"] for name in (OWN, other))
            if count and counts:
                shares.append(f"instructions {count / counts:.2f}")
            lines.append(f"{OWN} ÷ {other}: {', '.join(shares)}")
    return lines


def table(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Render `rows`, all of one shape, with the ratios below; rows with errors are marked."""
    shown = Table(title=f"shape: {rows[0]['shape']}", title_justify="left")
    shown.add_column("proxy", no_wrap=True)
    for heading in _HEADINGS:
        shown.add_column(heading, justify="right")
    shown.add_column("instructions", justify="right")
    shown.add_column("errors", justify="right")
    for row in rows:
        errors = row["errors"]
        shown.add_row(
            f"{'[red]![/red] ' if errors else ''}{row['name']} {row['version']}",
            *(_cell(row[figure]) for figure in FIGURES),
            "–" if row["instructions_per_request"] is None else f"{row['instructions_per_request']:,.0f}",
            f"[red]{errors:,}[/red]" if errors else "0",
        )
    return Group(shown, *ratios(rows))
