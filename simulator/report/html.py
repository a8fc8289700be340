"""The comparison as one web page that needs nothing else: styles and pictures are within it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.measures.cast import CAST, Cast
from simulator.measures.curves import Curves, Span
from simulator.measures.figures import Figures
from simulator.measures.seeds import Summary, across_seeds
from simulator.measures.standing import losses, standings
from simulator.report import pictures
from simulator.report.palette import Stroke, strokes
from simulator.report.rows import (
    COLUMNS,
    LOSS_HEADINGS,
    MEANINGS,
    OVERVIEW,
    OVERVIEW_MEANINGS,
    Row,
    load,
    loss_cells,
    overview_label,
    rows,
)

LINES: Final = 8
"""Policies that one picture has lines for: the champion, the clairvoyant one, and the best of the others."""

EVENTS: Final = 30
"""Of health checks and ejection that are listed."""


@dataclass(frozen=True, slots=True)
class About:
    """What figures do not say of a scenario.

    Attributes:
        description: what it shows.
        source: where its requests come from, such as a trace's name; empty where there is nothing to say.
    """

    description: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Section:
    scenario: str
    anchor: str
    about: About
    load: str
    rows: Sequence[Row]
    troubles: Sequence[str]
    more_troubles: int
    drawn: str
    over_time: str
    tail: str
    where: str
    where_of: str
    learned: bool
    regret: str
    events: Sequence[tuple[str, str, str, str]]
    more_events: int


def page(
    figures: Sequence[Figures],
    curves: Sequence[Curves],
    cast: Cast = CAST,
    about: Mapping[str, About] | None = None,
    facts: Mapping[str, str] | None = None,
    title: str = "Routing policies compared",
) -> str:
    """An HTML page.

    Args:
        figures: of all runs.
        curves: of as many of them as are to be drawn; of several seeds the first given is.
        cast: who is what.
        about: descriptions of the scenarios, by name.
        facts: what is to be known to make the page again, such as versions, date and command.
        title: of the page.

    Raises:
        ValueError: there are two figures of a scenario, policy and seed.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    summaries = across_seeds(figures, cast)
    policies = list(dict.fromkeys(each.policy for each in figures))
    scenarios = list(dict.fromkeys(each.scenario for each in figures))
    drawn = strokes(policies, cast)
    environment = Environment(
        loader=PackageLoader("simulator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("arena.html.j2").render(
        title=title,
        facts=dict(facts or {}),
        champion=cast.champion if cast.champion in policies and len(policies) > 1 else "",
        losses=[loss_cells(loss) for loss in losses(figures, cast.champion, cast)],
        loss_headings=[heading or cast.champion for heading in LOSS_HEADINGS],
        headings=list(COLUMNS),
        meanings={**MEANINGS, "±": "half of the 95 % confidence interval over the seeds, by Student's t"},
        overview=[
            (
                overview_label(row, cast, len(scenarios)),
                [cell(row) for cell in OVERVIEW.values()],
                row.policy == cast.champion,
                cast.realisable(row.policy),
            )
            for row in standings(figures, cast)
        ],
        overview_headings=OVERVIEW_MEANINGS,
        legend=cast.legend(policies),
        sections=[
            _section(
                f"s{number}",
                [each for each in figures if each.scenario == scenario],
                [each for each in summaries if each.scenario == scenario],
                [each for each in curves if each.scenario == scenario],
                cast,
                (about or {}).get(scenario, About()),
                drawn,
            )
            for number, scenario in enumerate(scenarios, 1)
        ],
    )


def _section(
    anchor: str,
    runs: Sequence[Figures],
    summaries: Sequence[Summary],
    curves: Sequence[Curves],
    cast: Cast,
    about: About,
    drawn: Mapping[str, Stroke],
) -> _Section:
    found = rows(summaries, cast)
    shown = _shown([row.policy for row in found], curves, cast)
    left_out = len({each.policy for each in curves}) - len(shown)
    champion = next((each for each in shown if each.policy == cast.champion), shown[0] if shown else None)
    troubles = champion.troubles if champion else []
    events = champion.events if champion else []
    return _Section(
        scenario=runs[0].scenario,
        anchor=anchor,
        about=about,
        load=load(runs),
        rows=found,
        troubles=[_span(each) for each in troubles[: pictures.NUMBERED]],
        more_troubles=max(0, len(troubles) - pictures.NUMBERED),
        drawn=_drawn(shown, left_out) if shown else "",
        over_time=pictures.over_time(f"{anchor}t", shown, drawn) if shown else "",
        tail=pictures.tail(f"{anchor}c", shown, drawn) if shown else "",
        where=pictures.where(f"{anchor}w", champion) if champion else "",
        where_of=champion.policy if champion else "",
        learned=bool(champion and champion.weights),
        regret=pictures.regret(f"{anchor}r", summaries, drawn, {row.policy: row.label for row in found}),
        events=[
            (f"{each.at_s:.1f} s", each.backend, "back" if each.eligible else "out", each.reason)
            for each in events[:EVENTS]
        ],
        more_events=max(0, len(events) - EVENTS) + (champion.more_events if champion else 0),
    )


def _shown(ranked: Sequence[str], curves: Sequence[Curves], cast: Cast) -> list[Curves]:
    first: dict[str, Curves] = {}
    for each in curves:
        first.setdefault(each.policy, each)
    leading = [policy for policy in (cast.champion, cast.clairvoyant) if policy in first]
    others = [policy for policy in ranked if policy in first and policy not in leading]
    chosen = {*leading, *others[: LINES - len(leading)]}
    return [
        *(first[policy] for policy in leading[:1]),
        *(first[policy] for policy in ranked if policy in chosen - set(leading[:1])),
    ]


def _drawn(shown: Sequence[Curves], left_out: int) -> str:
    seeds = sorted({each.seed for each in shown})
    text = f"Drawn: seed {', '.join(map(str, seeds))}"
    if left_out > 0:
        text += f"; {left_out} more {'policy is' if left_out == 1 else 'policies are'} in the table only"
    return f"{text}."


def _span(trouble: Span) -> str:
    until = "on" if trouble.ends_s is None else f"to {trouble.ends_s:g} s"
    return f"{trouble.name}, from {trouble.starts_s:g} s {until}"
