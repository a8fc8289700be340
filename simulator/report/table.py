"""The comparison in a terminal."""

from collections.abc import Sequence
from re import split

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.measures.cast import CAST, Cast
from simulator.measures.figures import Figures
from simulator.measures.seeds import across_seeds
from simulator.measures.standing import losses, standings
from simulator.report.rows import COLUMNS, LOSS_HEADINGS, OVERVIEW, Row, load, loss_cells, overview_label, rows

WIDE = 116
"""Columns of the terminal that all of a table needs; in fewer, intervals and what is least asked for are left out."""

_SPARE = ("p50", "fairness")
_WITH_INTERVAL = ("mean", "p99", "p99.9", "regret", "recovery")
_NAME = 20


def report(figures: Sequence[Figures], cast: Cast = CAST, width: int = 120) -> RenderableType:
    """A table a scenario, an overview, and where the champion loses.

    Args:
        figures: of all runs.
        cast: who is what.
        width: of the terminal, in columns; 80 at least.

    Raises:
        ValueError: there are two of a scenario, policy and seed.
    """
    summaries = across_seeds(figures, cast)
    scenarios = list(dict.fromkeys(each.scenario for each in figures))
    parts: list[RenderableType] = []
    for scenario in scenarios:
        runs = [each for each in figures if each.scenario == scenario]
        own = [each for each in summaries if each.scenario == scenario]
        parts += [*_scenario(scenario, runs, rows(own, cast), rows(own, cast, interval=False), width), Text()]
    policies = dict.fromkeys(each.policy for each in figures)
    if len(policies) > 1 and len(scenarios) > 1:
        parts += [overview(figures, cast), Text()]
    if len(policies) > 1 and cast.champion in policies:
        parts += [losing(figures, cast), Text()]
    parts += [Text(line, "dim") for line in cast.legend(policies)]
    if any(len(each.seeds) > 1 for each in summaries) and width >= WIDE:
        parts.append(Text("± half of the 95 % confidence interval over the seeds", "dim"))
    return Group(*parts)


def _scenario(
    scenario: str, runs: Sequence[Figures], full: Sequence[Row], brief: Sequence[Row], width: int
) -> list[RenderableType]:
    table = Table(box=SIMPLE_HEAD, header_style="bold", collapse_padding=True, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    shown = [name for name in COLUMNS if width >= WIDE or name not in _SPARE]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row, short in zip(full, brief, strict=True):
        style = "bold" if row.best else "" if row.realisable else "dim"
        cells = [(row if width >= WIDE and name in _WITH_INTERVAL else short).cells[name] for name in shown]
        table.add_row(Text(_broken(row.label)), *map(Text, cells), style=style)
    notes = [Text(f"▲ {row.policy}: {'; '.join(row.trouble)}", "yellow") for row in full if row.trouble]
    return [Text(scenario, "bold underline"), Text(load(runs), "dim"), table, *notes]


def _broken(label: str) -> str:
    """A long name on several lines, each of which ends with an underscore or a comma."""
    lines = [""]
    for word in split(r"(?<=_)|(?<=, )", label):
        if len(lines[-1]) + len(word) > _NAME and lines[-1]:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def overview(figures: Sequence[Figures], cast: Cast = CAST) -> Table:
    """Every policy over all scenarios, the least regret first."""
    scenarios = len({each.scenario for each in figures})
    table = Table(
        title=f"Over all {scenarios} scenarios", title_justify="left", title_style="bold underline",
        header_style="bold", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    table.add_column("policy", no_wrap=True)
    for name in OVERVIEW:
        table.add_column(name, justify="right", no_wrap=True)
    for row in standings(figures, cast):
        style = "bold" if row.policy == cast.champion else "" if cast.realisable(row.policy) else "dim"
        table.add_row(
            Text(_broken(overview_label(row, cast, scenarios))),
            *(Text(cell(row)) for cell in OVERVIEW.values()),
            style=style,
        )
    return table


def losing(figures: Sequence[Figures], cast: Cast = CAST) -> RenderableType:
    """Where the champion loses, or that it does not."""
    found = losses(figures, cast.champion, cast)
    if not found:
        return Text(f"Nowhere is another policy that could be built better than {cast.champion} by more than 5 %.")
    table = Table(
        title=f"Where {cast.champion} loses by more than 5 %", title_justify="left", title_style="bold underline",
        header_style="bold", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    for heading in LOSS_HEADINGS:
        table.add_column(heading or cast.champion, no_wrap=heading != LOSS_HEADINGS[-1])
    for loss in found:
        table.add_row(*(Text(_broken(cell)) for cell in loss_cells(loss)))
    return table
