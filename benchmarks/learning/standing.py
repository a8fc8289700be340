"""How far the learned policy is from what is possible, and from the best of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.learning.goals import Row, finite, shown
from simulator.arena import Results, Task, run_all, tasks
from simulator.catalogue import load, path_of
from simulator.contenders import TOLD
from simulator.generator import busiest
from simulator.measures.cast import Cast
from simulator.measures.figures import Figures
from simulator.measures.seeds import BySeed, by_scenario
from simulator.measures.standing import standings
from simulator.plan import plan
from simulator.references.registry import REFERENCES
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.workload import missing, prepare

LEVELS: Final = (0.5, 0.8)
"""Utilisations at which every scenario is run."""

STEP: Final = 0.1
"""By how much it is lowered where a fleet cannot carry that with its faults and surges."""

APART: Final[Mapping[str, str]] = {"routers": "{count: 20, share_in_flight: false}"}
"""Changes a scenario into one with routers that do not see each other's requests."""

HELD_OUT: Final = tuple(f"generated-{number}" for number in range(2001, 2013))
"""Scenarios that nothing was tuned by."""

CLEARLY: Final = 0.8
"""A figure at most this share of the best other's is clearly better."""

CAST: Final = Cast(told=frozenset(TOLD), references=frozenset(REFERENCES) - {"clairvoyant"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A scenario at a load.

    Attributes:
        name: of the scenario.
        scenario: as it is run.
        utilisation: at which it is run; None for its own load.
        asked: at which it was to be.
        stand_in: whether generated requests take its trace's place, which is not there.
    """

    name: str
    scenario: Scenario
    utilisation: float | None = None
    asked: float | None = None
    stand_in: bool = False


def settings(names: Sequence[str], changes: Mapping[str, str]) -> list[Setting]:
    """Scenarios at their own loads."""
    found = []
    for name in names:
        scenario = load(name, dict(changes))
        found.append(Setting(name, scenario, stand_in=bool(missing(scenario.workload, path_of(name).parent))))
    return found


def at_level(names: Sequence[str], level: float, changes: Mapping[str, str]) -> list[Setting]:
    """Scenarios at a utilisation, or at the highest step below at which they can be carried all the time."""
    found = []
    for name in names:
        folder = path_of(name).parent
        workload = load(name).workload
        stand_in = bool(missing(workload, folder))
        demand = prepare(workload, folder, streams(0), stand_in)
        utilisation = level
        while True:
            scenario = load(name, {**changes, "load": f"{{utilisation: {utilisation:.2f}}}"})
            if busiest(plan(name, scenario, demand, 0)) < 1.0 or utilisation < 2.0 * STEP:
                break
            utilisation = round(utilisation - STEP, 2)
        found.append(Setting(name, scenario, utilisation, level, stand_in))
    return found


def played(
    chosen: Sequence[Setting], policies: Sequence[str], seeds: int, changed: str, folder: Path, jobs: int
) -> list[Figures]:
    """Run every policy in every setting with every seed; what was run before is taken from `folder`."""
    todo: list[Task] = []
    for of in chosen:
        given = {of.name: (of.scenario, path_of(of.name).parent)}
        todo += tasks(given, policies, range(seeds), changed=_changed(of, changed), stand_in=of.stand_in)
    done = run_all(todo, Results(folder), jobs, "sequential" if jobs == 1 else "loky")
    order = {of.name: at for at, of in enumerate(chosen)}
    return sorted((each.figures for each in done), key=lambda each: (order[each.scenario], each.seed))


def _changed(of: Setting, changed: str) -> str:
    own = "" if of.utilisation is None else f"load.utilisation={of.utilisation:.2f}"
    return " ".join(part for part in (own, changed) if part)


@dataclass(frozen=True, slots=True)
class Best:
    """The best other policy at a figure, and what it has there."""

    policy: str
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """The learned policy in one setting; latencies in milliseconds and over seeds.

    Attributes:
        of: the setting.
        p99_ms, mean_ms: its own, averaged.
        p99_over_bound, mean_over_bound: over clairvoyant's on the same requests, geometric means.
        p99_other, mean_other, errors_other: the best others, by averages; None where nobody else took part.
        errors: share of requests that failed.
    """

    of: Setting
    p99_ms: float
    mean_ms: float
    p99_over_bound: float
    mean_over_bound: float
    p99_other: Best | None
    mean_other: Best | None
    errors_other: Best | None
    errors: float

    @property
    def p99_over_other(self) -> float:
        """Infinity where nobody else took part."""
        return self.p99_ms / self.p99_other.value if self.p99_other else inf

    @property
    def mean_over_other(self) -> float:
        """Likewise of the mean."""
        return self.mean_ms / self.mean_other.value if self.mean_other else inf

    @property
    def more_errors(self) -> float:
        """Share of requests that fail beyond those of the other that fails fewest."""
        return self.errors - self.errors_other.value if self.errors_other else 0.0

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        best = {
            name: None if other is None else {"policy": other.policy, "value": finite(other.value)}
            for name, other in (
                ("p99_ms", self.p99_other),
                ("mean_ms", self.mean_other),
                ("errors", self.errors_other),
            )
        }
        return {
            "scenario": self.of.name,
            "asked": self.of.asked,
            "utilisation": self.of.utilisation,
            "stand_in": self.of.stand_in,
            "p99_ms": finite(self.p99_ms),
            "mean_ms": finite(self.mean_ms),
            "errors": self.errors,
            "p99_over_clairvoyant": finite(self.p99_over_bound),
            "mean_over_clairvoyant": finite(self.mean_over_bound),
            "best_other": best,
        }


def lines(chosen: Sequence[Setting], figures: Sequence[Figures]) -> list[Line]:
    """How the learned policy did in each setting."""
    by_name = by_scenario(figures)
    return [_line(of, by_name[of.name]) for of in chosen]


def _line(of: Setting, policies: Mapping[str, BySeed]) -> Line:
    own, bound = policies[CAST.champion], policies[CAST.clairvoyant]
    others = {
        name: list(runs.values()) for name, runs in policies.items() if name != CAST.champion and CAST.realisable(name)
    }
    return Line(
        of=of,
        p99_ms=fmean(_p99(run) for run in own.values()),
        mean_ms=fmean(_mean(run) for run in own.values()),
        p99_over_bound=_geometric([_p99(own[seed]) / _p99(bound[seed]) for seed in own]),
        mean_over_bound=_geometric([_mean(own[seed]) / _mean(bound[seed]) for seed in own]),
        p99_other=_best({name: fmean(map(_p99, runs)) for name, runs in others.items()}),
        mean_other=_best({name: fmean(map(_mean, runs)) for name, runs in others.items()}),
        errors_other=_best({name: fmean(run.errors for run in runs) for name, runs in others.items()}),
        errors=fmean(run.errors for run in own.values()),
    )


def _p99(run: Figures) -> float:
    return inf if run.p99_ms is None else run.p99_ms


def _mean(run: Figures) -> float:
    return inf if run.mean_ms is None else run.mean_ms


def _geometric(ratios: Sequence[float]) -> float:
    return exp(fmean(map(log, ratios)))


def _best(values: Mapping[str, float]) -> Best | None:
    return min((Best(*item) for item in values.items()), key=lambda best: best.value, default=None)


def rows(part: str, found: Sequence[Line]) -> list[Row]:
    """The figures of a part that goals are about.

    Args:
        part: the beginning of their keys.
        found: every setting of it.
    """
    worst_p99 = max(found, key=lambda line: line.p99_over_bound)
    worst_mean = max(found, key=lambda line: line.mean_over_bound)
    over_all = f"{len(found)} scenario{'s' * (len(found) > 1)}"
    listed = [
        Row(f"{part}.p99", "p99 over clairvoyant's, geometric mean", _geometric(_p99s(found)), over_all),
        Row(f"{part}.p99.worst", "... worst", worst_p99.p99_over_bound, worst_p99.of.name),
        Row(f"{part}.mean", "mean over clairvoyant's, geometric mean", _geometric(_means(found)), over_all),
        Row(f"{part}.mean.worst", "... worst", worst_mean.mean_over_bound, worst_mean.of.name),
    ]
    if any(line.p99_other is None for line in found):
        return listed
    p99 = max(found, key=lambda line: line.p99_over_other)
    mean = max(found, key=lambda line: line.mean_over_other)
    errors = max(found, key=lambda line: line.more_errors)
    clearly = f"share of scenarios at or below {CLEARLY:g} of the best other's"
    return [
        *listed,
        Row(f"{part}.p99.other", "p99 over the best other's, worst", p99.p99_over_other, _against(p99, p99.p99_other)),
        Row(
            f"{part}.p99.clearly", f"p99: {clearly}", fmean(line.p99_over_other <= CLEARLY for line in found), over_all
        ),
        Row(
            f"{part}.mean.other",
            "mean over the best other's, worst",
            mean.mean_over_other,
            _against(mean, mean.mean_other),
        ),
        Row(
            f"{part}.mean.clearly",
            f"mean: {clearly}",
            fmean(line.mean_over_other <= CLEARLY for line in found),
            over_all,
        ),
        Row(
            f"{part}.errors",
            "failed beyond the fewest of others, most, % of requests",
            100.0 * errors.more_errors,
            _against(errors, errors.errors_other) if errors.more_errors > 0.0 else "",
        ),
    ]


def _p99s(found: Sequence[Line]) -> list[float]:
    return [line.p99_over_bound for line in found]


def _means(found: Sequence[Line]) -> list[float]:
    return [line.mean_over_bound for line in found]


def _against(line: Line, other: Best | None) -> str:
    return line.of.name if other is None else f"{line.of.name}, against {other.policy}"


def detail(found: Sequence[Line]) -> Table:
    """Every setting of a part."""
    columns = Table(box=SIMPLE_HEAD)
    columns.add_column("scenario")
    for heading in ("load", "p99, ms", "÷ clairv.", "÷ best other", "mean, ms", "÷ clairv.", "÷ best other", "failed"):
        columns.add_column(heading, justify="right")
    for line in found:
        of = line.of
        load = "own" if of.utilisation is None else f"{of.utilisation:.1f}"
        lowered = of.asked is not None and of.utilisation is not None and of.utilisation < of.asked - STEP / 2.0
        columns.add_row(
            of.name + (" (stand-in)" if of.stand_in else ""),
            f"{load} for {of.asked:.1f}" if lowered else load,
            shown(line.p99_ms),
            f"{line.p99_over_bound:.2f}",
            _beside(line.p99_over_other, line.p99_other),
            shown(line.mean_ms),
            f"{line.mean_over_bound:.2f}",
            _beside(line.mean_over_other, line.mean_other),
            f"{line.errors:.3%}" + (f" ({line.errors_other.value:.3%})" if line.errors_other else ""),
        )
    return columns


def _beside(ratio: float, other: Best | None) -> str:
    return "" if other is None else f"{ratio:.2f} {other.policy}"


def field(figures: Sequence[Figures]) -> Table:
    """Every policy over all settings of a part, the nearest to clairvoyant first."""
    found = standings(figures, CAST)
    ranks = Table(
        box=SIMPLE_HEAD, caption="; ".join(CAST.legend(each.policy for each in found)), caption_justify="left"
    )
    ranks.add_column("policy")
    for heading in ("p99 ÷ clairvoyant's", "mean ÷ clairvoyant's", "failed"):
        ranks.add_column(heading, justify="right")
    for each in found:
        ranks.add_row(
            f"{each.policy}{CAST.mark(each.policy)}", _plus_one(each.regret_p99), _plus_one(each.regret_mean),
            f"{each.errors:.3%}",
        )  # fmt: skip
    return ranks


def _plus_one(regret: float | None) -> str:
    return "–" if regret is None else f"{1.0 + regret:.2f}"
