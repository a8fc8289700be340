"""One run, for the terminal."""

from math import isfinite

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.measures.figures import Figures
from simulator.report import words
from simulator.result import Run

_MOST_BACKENDS = 40


def summary(description: str, of: Run, found: Figures) -> RenderableType:
    """What was run, its figures, and where the requests went."""
    lines = [
        f"{found.scenario}: {description.strip()}",
        f"{found.policy}, seed {found.seed}{f', {found.options}' if found.options else ''}: {_load(found)}",
        f"{found.requests:,} requests counted, those that came from {found.warmup_s:g} to {found.duration_s:g} s.",
    ]
    return Group(*map(Text, lines), _latencies(found), *map(Text, _notes(of, found)), _shares(of, found))


def _load(found: Figures) -> str:
    parts = [f"{found.rate:,.1f} requests/s", f"{found.utilisation:.0%} of what the fleet carries at best"]
    if found.speedup is not None:
        parts.append(f"the trace {found.speedup:,.3g} times as fast as recorded")
    if found.stand_in:
        parts.append("generated requests in the trace's place")
    return ", ".join(parts)


def _latencies(found: Figures) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("mean", "p50", "p90", "p99", "p99.9", "failed", "fairness"):
        table.add_column(heading, justify="right")
    values = (found.mean_ms, found.p50_ms, found.p90_ms, found.p99_ms, found.p999_ms)
    table.add_row(*map(words.latency, values), f"{found.errors:.2%}", words.index(found.fairness))
    return table


def _notes(of: Run, found: Figures) -> list[str]:
    notes = []
    if found.errors_by:
        notes.append("failed: " + ", ".join(f"{count:,} {kind}" for kind, count in found.errors_by.items()))
    for each in found.recovery:
        ends = "on" if each.ends_s is None else f"to {each.ends_s:g} s"
        notes.append(f"{each.name}, from {each.starts_s:g} {ends}: {_recovered(each.recovery_s)}")
    if found.grows:
        notes.append("queues grew all the time: this policy does not carry the load")
    if len(of.weights_s):
        notes.append(f"the learner noticed {found.drifts} changes")
    if found.bars:
        notes.append(f"health checks and ejection took backends out {found.bars} times")
    if found.skipped:
        notes.append(f"{found.skipped:,} malformed lines of the trace were left out")
    if isfinite(found.wall_s) and found.requests_per_wall_s:
        notes.append(f"simulated in {found.wall_s:.2f} s, {found.requests_per_wall_s:,.0f} requests a second")
    return notes


def _recovered(recovery_s: float | None) -> str:
    if recovery_s is None:
        return "latency was not as before again"
    return f"latency was as before again after {recovery_s:.1f} s" if recovery_s else "latency stayed as it was"


def _shares(of: Run, found: Figures) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("backend")
    for heading in ("share of requests", "share of capacity", *(["learned weight"] if len(of.weights_s) else [])):
        table.add_column(heading, justify="right")
    capacity = of.capacity / of.capacity.sum()
    for at, (name, share) in enumerate(list(found.share.items())[:_MOST_BACKENDS]):
        learned = [f"{of.weights[-1][at]:.1%}"] if len(of.weights_s) else []
        table.add_row(name, f"{share:.1%}", f"{capacity[at]:.1%}", *learned)
    if len(found.share) > _MOST_BACKENDS:
        table.add_row(f"... and {len(found.share) - _MOST_BACKENDS} more")
    return table
