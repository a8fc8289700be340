"""What each part of the learned policy brings, for the terminal."""

from collections.abc import Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.table import Table

from simulator.measures.cast import CAST, Cast
from simulator.measures.figures import Figures
from simulator.measures.seeds import Summary, across_seeds
from simulator.measures.standing import standings
from simulator.report import words


def table(figures: Sequence[Figures], cast: Cast = CAST) -> Table:
    """A row a variant, the least p99 regret first: over all scenarios, and where it is worst and best.

    Args:
        figures: of all runs.
        cast: its champion is the policy as it is.

    Raises:
        ValueError: there are two of a scenario, policy and seed.
    """
    lines = Table(
        title=f"What each part of {cast.champion} brings", title_justify="left", title_style="bold underline",
        header_style="bold", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False,
        caption=f"regret: beyond {cast.clairvoyant}, geometric mean; worst and best: p99 beyond {cast.champion}'s",
        caption_justify="left",
    )  # fmt: skip
    lines.add_column("variant", no_wrap=True)
    for heading in ("p99 regret", "mean regret", "failed", "worst in", "best in"):
        lines.add_column(heading, justify="right", no_wrap=True)
    beside = across_seeds(figures, replace(cast, clairvoyant=cast.champion))
    for row in standings(figures, cast):
        ranked = sorted(
            (each for each in beside if each.policy == row.policy and each.regret_p99 is not None), key=_beyond
        )
        compared = ranked if row.policy != cast.champion else []
        lines.add_row(
            row.policy,
            words.regret(row.regret_p99),
            words.regret(row.regret_mean),
            words.share(row.errors),
            _where(compared[-1:]),
            _where(compared[:1]),
            style="bold" if row.policy == cast.champion else "" if cast.realisable(row.policy) else "dim",
        )
    return lines


def _beyond(summary: Summary) -> float:
    return summary.regret_p99.mean if summary.regret_p99 else 0.0


def _where(found: Sequence[Summary]) -> str:
    return (
        "".join(f"{each.scenario} {words.regret(each.regret_p99, interval=False)}" for each in found) or words.NOTHING
    )
