"""Where every policy stands over all scenarios: regret, wins, and losses by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean
from typing import Final

from simulator.measures.cast import CAST, Cast
from simulator.measures.estimate import Estimate, estimate
from simulator.measures.figures import Figures
from simulator.measures.seeds import BySeed, by_scenario

MARGIN: Final = 0.05
"""Who is better by less than this share is not called better."""

ERRORS_MARGIN: Final = 1e-4
"""Nor who fails so few requests less, as a share of all: one more of none is infinitely many times more."""

_FIGURES: Final[Mapping[str, Callable[[Figures], float | None]]] = {
    "p99": lambda run: run.p99_ms,
    "mean": lambda run: run.mean_ms,
    "errors": lambda run: run.errors,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """Another realisable policy was better in a scenario.

    Attributes:
        scenario: where.
        policy: who lost.
        figure: ``p99``, ``mean`` or ``errors``.
        value: the loser's, averaged over seeds; milliseconds, or a share of requests.
        winner: the best of the others at this figure.
        winning: its value.
        excess: the difference over the seeds that both ran, loser less winner.
        more_errors: share of requests that the winner fails beyond the loser, which can make its latencies lower.
    """

    scenario: str
    policy: str
    figure: str
    value: float
    winner: str
    winning: float
    excess: Estimate
    more_errors: float

    @property
    def clear(self) -> bool | None:
        """Whether the seeds agree, by the interval of the paired differences; None for one seed."""
        return self.excess.excludes_zero


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy over all scenarios in which it ran.

    Attributes:
        policy: its name.
        scenarios: how many.
        regret_p99: geometric mean over scenarios, and over seeds within each, of p99 over the clairvoyant policy's,
            less 1; None where one of the two is not known somewhere.
        regret_mean: likewise of the mean.
        errors: share of failed requests, averaged over scenarios.
        wins: scenarios in which no other realisable policy has a lower p99 or fewer errors, by the margins of
            `losses`; several can win; None for a policy that nobody could build.
        losses: scenarios in which another realisable one is better by more than that in p99, mean or errors.
        growing: scenarios in which its queues grew in some run.
    """

    policy: str
    scenarios: int
    regret_p99: float | None
    regret_mean: float | None
    errors: float
    wins: int | None
    losses: int
    growing: int


def losses(figures: Sequence[Figures], policy: str, cast: Cast = CAST) -> list[Loss]:
    """Every scenario and figure in which another realisable policy was better than one, over the seeds both ran.

    Better by `MARGIN` at least, and for errors by `ERRORS_MARGIN` as well. A policy without any success has no latency:
    it loses by its errors.

    Raises:
        ValueError: there are two of a scenario, policy and seed.
    """
    found = []
    for scenario, policies in by_scenario(figures).items():
        if policy not in policies:
            continue
        for name, figure in _FIGURES.items():
            beaten = [
                loss
                for other, runs in policies.items()
                if other != policy and cast.realisable(other)
                if (loss := _loss(scenario, policy, name, figure, policies[policy], other, runs)) is not None
            ]
            if beaten:
                found.append(min(beaten, key=lambda loss: loss.winning))
    return found


def _loss(
    scenario: str,
    policy: str,
    name: str,
    figure: Callable[[Figures], float | None],
    own: BySeed,
    other: str,
    others: BySeed,
) -> Loss | None:
    pairs = [(figure(own[seed]), figure(others[seed])) for seed in own if seed in others]
    mine, theirs = estimate([pair[0] for pair in pairs]), estimate([pair[1] for pair in pairs])
    if mine is None or theirs is None:
        return None
    least = ERRORS_MARGIN if name == "errors" else 0.0
    if theirs.mean >= mine.mean * (1.0 - MARGIN) or mine.mean - theirs.mean <= least:
        return None
    excess = estimate([a - b for a, b in pairs if a is not None and b is not None])
    assert excess is not None
    more_errors = fmean(others[seed].errors - own[seed].errors for seed in own if seed in others)
    return Loss(scenario, policy, name, mine.mean, other, theirs.mean, excess, more_errors)


def standings(figures: Sequence[Figures], cast: Cast = CAST) -> list[Standing]:
    """Every policy, the least p99 regret first; those without a regret come last.

    Raises:
        ValueError: there are two of a scenario, policy and seed.
    """
    scenarios = by_scenario(figures)
    scenarios = by_scenario(figures)
    found = []
    for policy in {name: None for policies in scenarios.values() for name in policies}:
        played = {name: policies for name, policies in scenarios.items() if policy in policies}
        own = [policies[policy] for policies in played.values()]
        bounds = [policies.get(cast.clairvoyant, {}) for policies in played.values()]
        lost = losses(figures, policy, cast)
        beaten = {loss.scenario for loss in lost if loss.figure != "mean"}
        failed = {name for name in played if any(run.p99_ms is None for run in played[name][policy].values())}
        found.append(
            Standing(
                policy=policy,
                scenarios=len(played),
                regret_p99=_geometric(own, bounds, _FIGURES["p99"]),
                regret_mean=_geometric(own, bounds, _FIGURES["mean"]),
                errors=fmean(fmean(run.errors for run in runs.values()) for runs in own),
                wins=len(played.keys() - beaten - failed) if cast.realisable(policy) else None,
                losses=len({loss.scenario for loss in lost}),
                growing=sum(any(run.grows for run in runs.values()) for runs in own),
            )
        )
    return sorted(found, key=lambda each: (each.regret_p99 is None, each.regret_p99 or 0.0))


def _geometric(
    own: Sequence[BySeed], bounds: Sequence[BySeed], figure: Callable[[Figures], float | None]
) -> float | None:
    logs = []
    for runs, bound in zip(own, bounds, strict=True):
        pairs = [(figure(run), figure(bound[seed]) if seed in bound else None) for seed, run in runs.items()]
        ratios = [value / least for value, least in pairs if value and least]
        if len(ratios) < len(pairs):
            return None
        logs.append(fmean(log(ratio) for ratio in ratios))
    return exp(fmean(logs)) - 1.0
