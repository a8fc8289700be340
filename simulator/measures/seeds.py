"""Figures over seeds: one row a scenario and policy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simulator.measures.cast import CAST, Cast
from simulator.measures.estimate import Estimate, estimate
from simulator.measures.figures import Figures
from simulator.measures.recovery import worst


@dataclass(frozen=True, slots=True)
class Summary:
    """One policy in one scenario, over all seeds; an estimate is None where a run has nothing to measure.

    Regret is paired: every seed is compared with the clairvoyant policy's run of the same seed, whose requests are the
    same. Failed requests have no latency, so they are apart, as `errors` and `extra_errors`.

    Attributes:
        scenario, policy: their names.
        seeds: of the runs.
        requests: of all runs together.
        mean_ms, p50_ms, p90_ms, p99_ms, p999_ms: as in `Figures`.
        errors: share of requests that failed.
        attempts: per request.
        fairness: as in `Figures`.
        recovery_s: the longest of a run's recoveries.
        troubled: runs with troubles that have a before to be compared with.
        unrecovered: those of them that did not recover from each; `recovery_s` is then None.
        regret_p99: p99 over that of the clairvoyant policy, less 1; None where that did not run.
        regret_mean: likewise of the mean.
        extra_errors: share of failed requests beyond the clairvoyant policy's.
        grows: runs in which queues grew all the time.
        refused: largest share of attempts in a run that found a full queue.
    """

    scenario: str
    policy: str
    seeds: tuple[int, ...]
    requests: int
    mean_ms: Estimate | None
    p50_ms: Estimate | None
    p90_ms: Estimate | None
    p99_ms: Estimate | None
    p999_ms: Estimate | None
    errors: Estimate
    attempts: Estimate | None
    fairness: Estimate | None
    recovery_s: Estimate | None
    troubled: int
    unrecovered: int
    regret_p99: Estimate | None
    regret_mean: Estimate | None
    extra_errors: Estimate | None
    grows: int
    refused: float


BySeed = Mapping[int, Figures]


def by_scenario(figures: Sequence[Figures]) -> dict[str, dict[str, dict[int, Figures]]]:
    """Figures by scenario, policy and seed, in the order given.

    Raises:
        ValueError: there are two of a scenario, policy and seed, so they are not runs of one comparison.
    """
    found: dict[str, dict[str, dict[int, Figures]]] = {}
    for each in figures:
        seeds = found.setdefault(each.scenario, {}).setdefault(each.policy, {})
        if each.seed in seeds:
            raise ValueError(
                f"two runs of {each.policy} in {each.scenario} with seed {each.seed}; "
                "summarise runs with different options apart"
            )
        seeds[each.seed] = each
    return found


def across_seeds(figures: Sequence[Figures], cast: Cast = CAST) -> list[Summary]:
    """One row a scenario and policy, in the order given.

    Raises:
        ValueError: there are two of a scenario, policy and seed.
    """
    return [
        _summary(list(seeds.values()), policies.get(cast.clairvoyant, {}))
        for policies in by_scenario(figures).values()
        for seeds in policies.values()
    ]


def _summary(runs: Sequence[Figures], clairvoyant: BySeed) -> Summary:
    first = runs[0]
    comparable = [[each for each in run.recovery if each.before_ms is not None] for run in runs]
    recoveries = [worst(found) for found in comparable if found]

    def over(figure: Callable[[Figures], float | None]) -> Estimate | None:
        return estimate([figure(run) for run in runs])

    return Summary(
        scenario=first.scenario,
        policy=first.policy,
        seeds=tuple(run.seed for run in runs),
        requests=sum(run.requests for run in runs),
        mean_ms=over(lambda run: run.mean_ms),
        p50_ms=over(lambda run: run.p50_ms),
        p90_ms=over(lambda run: run.p90_ms),
        p99_ms=over(lambda run: run.p99_ms),
        p999_ms=over(lambda run: run.p999_ms),
        errors=_known(over(lambda run: run.errors)),
        attempts=over(lambda run: run.attempts),
        fairness=over(lambda run: run.fairness),
        recovery_s=estimate(recoveries),
        troubled=len(recoveries),
        unrecovered=recoveries.count(None),
        regret_p99=_regret(runs, clairvoyant, lambda run: run.p99_ms),
        regret_mean=_regret(runs, clairvoyant, lambda run: run.mean_ms),
        extra_errors=estimate(
            [run.errors - clairvoyant[run.seed].errors if run.seed in clairvoyant else None for run in runs]
        ),
        grows=sum(run.grows for run in runs),
        refused=max(run.refused for run in runs),
    )


def _known(found: Estimate | None) -> Estimate:
    assert found is not None  # every run has it
    return found


def _regret(runs: Sequence[Figures], clairvoyant: BySeed, figure: Callable[[Figures], float | None]) -> Estimate | None:
    regrets = []
    for run in runs:
        value, least = figure(run), figure(clairvoyant[run.seed]) if run.seed in clairvoyant else None
        regrets.append(value / least - 1.0 if value is not None and least else None)
    return estimate(regrets)
