"""The comparison as text, for whatever draws tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.measures.cast import Cast
from simulator.measures.figures import Figures
from simulator.measures.seeds import Summary
from simulator.measures.standing import Loss, Standing
from simulator.report import words

COLUMNS: Final[dict[str, Callable[[Summary, bool], str]]] = {
    "mean": lambda row, interval: words.latency(row.mean_ms, interval),
    "p50": lambda row, interval: words.latency(row.p50_ms, interval),
    "p99": lambda row, interval: words.latency(row.p99_ms, interval),
    "p99.9": lambda row, interval: words.latency(row.p999_ms, interval),
    "errors": lambda row, interval: words.share(row.errors, interval),
    "regret": lambda row, interval: words.regret(row.regret_p99, interval),
    "recovery": lambda row, interval: words.recovery(row, interval),
    "fairness": lambda row, interval: words.index(row.fairness, interval),
}
"""The cells of a row, by heading; ``cell(summary, interval)``."""

MEANINGS: Final[dict[str, str]] = {
    "mean": "latency of the requests that did not fail, from arrival to end, retries included",
    "p50": "half of them took longer",
    "p99": "one of a hundred took longer",
    "p99.9": "one of a thousand took longer",
    "errors": "share of requests that failed, as the client sees it",
    "regret": "p99 beyond that of the clairvoyant policy with the same requests",
    "recovery": "from a fault's start until the p99 of those that arrive was within twice what it was before, for good",
    "fairness": "Jain's index of requests served per capacity; leaving alone who is slow or broken lowers it",
}
"""What each heading means."""


@dataclass(frozen=True, slots=True)
class Row:
    """A policy's row.

    Attributes:
        policy: its name.
        mark: see `simulator.measures.cast.Cast.mark`.
        cells: by heading.
        best: whether it has the lowest p99 of those that could be built.
        realisable: whether it could.
        trouble: what says that it was overloaded.
    """

    policy: str
    mark: str
    cells: dict[str, str]
    best: bool
    realisable: bool
    trouble: list[str]

    @property
    def label(self) -> str:
        """Its name with what marks it."""
        return " ".join(part for part in (self.policy, self.mark, "▲" if self.trouble else "") if part)


def rows(summaries: Sequence[Summary], cast: Cast, interval: bool = True) -> list[Row]:
    """One scenario's policies, the lowest p99 first.

    Args:
        summaries: of one scenario.
        cast: who is what.
        interval: whether to say how far off the figures may be.
    """
    ranked = sorted(summaries, key=lambda row: (row.p99_ms is None, row.p99_ms.mean if row.p99_ms else 0.0))
    best = next((row.policy for row in ranked if cast.realisable(row.policy) and row.p99_ms), None)
    return [
        Row(
            policy=row.policy,
            mark=cast.mark(row.policy),
            cells={name: cell(row, interval) for name, cell in COLUMNS.items()},
            best=row.policy == best,
            realisable=cast.realisable(row.policy),
            trouble=words.trouble(row),
        )
        for row in ranked
    ]


OVERVIEW: Final[dict[str, Callable[[Standing], str]]] = {
    "p99 regret": lambda row: words.regret(row.regret_p99),
    "mean regret": lambda row: words.regret(row.regret_mean),
    "errors": lambda row: words.share(row.errors),
    "wins": lambda row: words.NOTHING if row.wins is None else str(row.wins),
    "losses": lambda row: str(row.losses),
    "▲": lambda row: str(row.growing),
}
"""The cells of a row of the overview, by heading."""

OVERVIEW_MEANINGS: Final[dict[str, str]] = {
    "p99 regret": "geometric mean over the scenarios of p99 over the clairvoyant policy's, less 1",
    "mean regret": "likewise of mean latency",
    "errors": "share of requests that failed, averaged over the scenarios",
    "wins": "scenarios in which no other policy that could be built has a p99 lower, or errors fewer, by more than 5 %",
    "losses": "scenarios in which another policy that could be built has a p99, mean or errors lower by more than 5 %",
    "▲": "scenarios in which queues grew all the time",
}
"""What each heading of the overview means."""


def overview_label(row: Standing, cast: Cast, scenarios: int) -> str:
    """A policy's name in the overview, with in how many scenarios it ran if not in all of them."""
    ran = f"({row.scenarios} of {scenarios})" if row.scenarios < scenarios else ""
    return " ".join(part for part in (row.policy, cast.mark(row.policy), ran) if part)


def loss_cells(loss: Loss) -> list[str]:
    """Scenario, figure, its value, the winner, the winner's value, the difference, and how sure that is."""
    show = words.share if loss.figure == "errors" else words.latency
    sure = {
        None: "one seed",
        True: f"clear over {loss.excess.count} seeds",
        False: f"within the noise of {loss.excess.count} seeds",
    }[loss.clear]
    if loss.figure != "errors" and loss.more_errors > 1e-4:
        sure += f"; the winner fails {words.share(loss.more_errors)} more"
    change = f"−{100 * (1.0 - loss.winning / loss.value):.0f} %"
    return [loss.scenario, loss.figure, show(loss.value), loss.winner, show(loss.winning), change, sure]


LOSS_HEADINGS: Final = ("scenario", "figure", "", "better was", "with", "that is", "how sure")
"""Of `loss_cells`; the third is the policy that lost."""


def load(runs: Sequence[Figures]) -> str:
    """How much came in a scenario and how load was scaled, in a sentence."""
    first = runs[0]
    rates = [run.rate for run in runs]
    seeds = sorted({run.seed for run in runs})
    low, high = (f"{rate:,.0f}" if rate >= 10 else f"{rate:.3g}" for rate in (min(rates), max(rates)))
    text = f"{low if low == high else f'{low} to {high}'} requests/s"
    levels = sorted({f"{100 * run.utilisation:.0f} %" for run in runs})
    text += f", {' to '.join((levels[0], levels[-1]) if len(levels) > 1 else levels)} of what the fleet carries at best"
    if first.stand_in:
        text += ", from a generated stand-in for the trace"
    elif first.speedup is None:
        text += ", generated"
    else:
        pace = "as recorded" if first.speedup == 1.0 else f"replayed {first.speedup:.3g} times as fast as recorded"
        text += f", from a trace {pace}"
    if first.skipped:
        text += f" ({first.skipped:,} malformed lines left out)"
    text += f"; {first.duration_s:g} s, of which the first {first.warmup_s:g} s do not count"
    return f"{text}; {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
