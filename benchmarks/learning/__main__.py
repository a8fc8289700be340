"""Measures the learned policy against its goals: ``python -m benchmarks.learning [--json OUT]``.

Parts: ``loads`` (all scenarios at two loads), ``routers`` (the same behind twenty routers that do not see each other),
``held_out`` (scenarios drawn at random), ``change`` (a backend slows down, recovers, joins) and ``cost`` (of learning).
docs/benchmarks.md says what the figures are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.learning import change, cost, standing
from benchmarks.learning.goals import Row, table
from benchmarks.rig.command import Options, publish, results
from benchmarks.rig.goals import Goal
from simulator.catalogue import names
from simulator.contenders import CONTENDERS
from smartlb.cli.arguments import whole_number

RESULTS: Final = Path("arena-results")

CHANGE_SEEDS: Final = 4
"""Times as many runs as elsewhere: a slowed backend gets few requests, and shares are of short times."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        seeds: runs of each.
        change_seeds: those in which a backend changes.
        scenarios, held_out, policies: by name.
        changes: of every scenario.
        times: of the runs in which a backend changes.
        cost_s: for how long a learner is fed.
        sizes: numbers of backends that it learns.
    """

    seeds: int
    change_seeds: int
    scenarios: Sequence[str] = field(default_factory=names)
    held_out: Sequence[str] = standing.HELD_OUT
    policies: Sequence[str] = tuple(CONTENDERS)
    changes: Mapping[str, str] = field(default_factory=dict)
    times: change.Times = field(default_factory=change.Times)
    cost_s: float = 20.0
    sizes: Sequence[int] = cost.SIZES


def quick() -> Extent:
    """Enough to see that everything works; the figures mean nothing."""
    return Extent(
        seeds=1,
        change_seeds=1,
        scenarios=("mixed_speeds", "flash_crowd"),
        held_out=standing.HELD_OUT[:1],
        policies=("least_connections", "learned", "clairvoyant", "true_weights_least_connections"),
        changes={"duration_s": "6", "warmup_s": "1", "faults": "[]"},
        times=change.Times(warmup_s=1.0, changes_s=3.0, recovers_s=9.0, ends_s=15.0, steady_s=2.0),
        cost_s=1.0,
        sizes=cost.SIZES[:1],
    )


class Benchmark:
    """Measures, shows and remembers.

    Args:
        extent: how much.
        jobs: runs at once; -1 for one a core.
        console: where it is shown.

    Attributes:
        found: figures by part.
        goals: those of all figures that have one.
    """

    def __init__(self, extent: Extent, jobs: int, console: Console) -> None:
        self._extent = extent
        self._jobs = jobs
        self._console = console
        self.found: dict[str, Any] = {}
        self.goals: list[Goal] = []

    def loads(self) -> None:
        """Every scenario at each level, against everyone."""
        extent = self._extent
        for level in standing.LEVELS:
            chosen = standing.at_level(extent.scenarios, level, extent.changes)
            self._standing(f"loads.{level:g}", f"Load {level:g}, all scenarios", chosen, extent.policies, "")

    def routers(self) -> None:
        """The same behind routers that do not see each other; clairvoyant sees everything whoever asks it."""
        extent = self._extent
        changes = {**extent.changes, **standing.APART}
        changed = " ".join(f"{key}={value}" for key, value in standing.APART.items())
        for level in standing.LEVELS:
            chosen = standing.at_level(extent.scenarios, level, changes)
            title = f"Load {level:g}, twenty routers that do not see each other"
            self._standing(f"routers.{level:g}", title, chosen, ("learned", "clairvoyant"), changed)

    def held_out(self) -> None:
        """Scenarios that nothing was tuned by, at their own loads."""
        extent = self._extent
        chosen = standing.settings(extent.held_out, extent.changes)
        self._standing("held_out", "Scenarios drawn at random, held out", chosen, extent.policies, "")

    def change(self) -> None:
        """A backend slows down and recovers; one joins."""
        extent = self._extent
        seeds = extent.change_seeds
        runs = f"{change.RATE:,.0f} requests/s, {change.BACKENDS} backends, {seeds} runs"
        self._show(
            "slow_down",
            f"One slows four times, and recovers: {runs}",
            change.slow_down(extent.times, seeds, self._jobs),
        )
        self._show("joining", f"One joins: {runs}", change.joining(extent.times, seeds, self._jobs))

    def cost(self) -> None:
        """What learning costs."""
        rows = [row for size in self._extent.sizes for row in cost.rows(cost.cost(size, self._extent.cost_s))]
        self._show("cost", "Cost of learning", rows)

    def _standing(
        self, key: str, title: str, chosen: Sequence[standing.Setting], policies: Sequence[str], changed: str
    ) -> None:
        extent = self._extent
        figures = standing.played(chosen, policies, extent.seeds, changed, RESULTS, self._jobs)
        lines = standing.lines(chosen, figures)
        self._show(key, title, standing.rows(key, lines))
        self._console.print(standing.detail(lines), highlight=False)
        if len(policies) > 2:
            self._console.print(standing.field(figures), highlight=False)
        self.found[f"{key}.scenarios"] = [line.as_json() for line in lines]

    def _show(self, key: str, title: str, rows: Sequence[Row]) -> None:
        self._console.print(table(title, rows), highlight=False)
        self.found[key] = [row.as_json() for row in rows]
        self.goals += [goal for row in rows if (goal := row.goal) is not None]


PARTS: Final[Mapping[str, Callable[[Benchmark], None]]] = {
    "loads": Benchmark.loads,
    "routers": Benchmark.routers,
    "held_out": Benchmark.held_out,
    "change": Benchmark.change,
    "cost": Benchmark.cost,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = Options("learning", "What the learned policy must reach, and what it does.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--seeds",
        type=whole_number(1),
        default=5,
        metavar="N",
        help="runs of each, and four times as many in `change` (default: 5)",
    )
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="runs at once (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="only see that it works; the figures mean nothing")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"part {', '.join(sorted(unknown))} unknown (one of: {', '.join(PARTS)})")
    extent = quick() if chosen.quick else Extent(seeds=chosen.seeds, change_seeds=CHANGE_SEEDS * chosen.seeds)
    benchmark = Benchmark(extent, chosen.jobs, results())
    for part in chosen.parts or PARTS:
        PARTS[part](benchmark)
    publish(chosen.json, benchmark.found, benchmark.goals)


if __name__ == "__main__":
    main()
