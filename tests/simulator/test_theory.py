"""The simulator against queueing theory, within confidence intervals over seeds."""

from collections.abc import Callable
from math import factorial, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from simulator.api import run
from simulator.result import Run, latency_s
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.workload import prepare

MEAN_S = 0.02
EXPONENTIAL = {"kind": "exponential", "mean_ms": 20.0}
SEEDS = range(6)


def queue(
    utilisation: float,
    *,
    cores: int = 1,
    work: dict[str, Any] = EXPONENTIAL,
    discipline: str = "fifo",
    count: int = 1,
    requests: int = 120_000,
) -> dict[str, Any]:
    """A scenario with Poisson arrivals at backends without a network."""
    rate = utilisation * cores * count / work["mean_ms"] * 1000.0
    server = {"cores": cores, "discipline": discipline, "queue": 100_000, "round_trip_s": 0.0}
    return {
        "description": "a queue",
        "duration_s": requests / rate,
        "warmup_s": 0.05 * requests / rate,
        "workload": {"classes": [{"name": "request", "work": work}]},
        "load": {"rate": rate},
        "fleet": [{"name": "server", "count": count, **server}],
        "health_check": None,
        "ejection": None,
        "timeout_s": 3600.0,
    }


def agrees(expected: float, measure: Callable[[Run], float], *, policy: str = "round_robin", **parameters: Any) -> None:
    """The mean over seeds is within its 99.9 % confidence interval of theory, and that interval is narrow."""
    values = [measure(run(queue(**parameters), policy, seed)) for seed in SEEDS]
    width = float(t.ppf(0.9995, len(values) - 1)) * float(np.std(values, ddof=1)) / sqrt(len(values))
    assert abs(np.mean(values) - expected) < width
    assert width < 0.15 * expected


def mean_s(of: Run) -> float:
    return float(latency_s(of.requests).mean())


def quantile_s(level: float) -> Callable[[Run], float]:
    return lambda of: float(np.quantile(latency_s(of.requests), level))


def erlang_c(cores: int, load: float) -> float:
    """Probability that a request waits, in M/M/c with `load` erlangs."""
    waiting = load**cores / factorial(cores) * cores / (cores - load)
    return waiting / (sum(load**k / factorial(k) for k in range(cores)) + waiting)


@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_m_m_1(utilisation: float) -> None:
    agrees(MEAN_S / (1.0 - utilisation), mean_s, utilisation=utilisation)


@pytest.mark.parametrize("level", [0.5, 0.99])
def test_m_m_1_has_an_exponential_sojourn(level: float) -> None:
    agrees(-np.log(1.0 - level) * MEAN_S / 0.4, quantile_s(level), utilisation=0.6)


@pytest.mark.parametrize(("cores", "utilisation"), [(2, 0.7), (8, 0.85)])
def test_m_m_c(cores: int, utilisation: float) -> None:
    load = cores * utilisation
    wait_s = erlang_c(cores, load) * MEAN_S / (cores - load)
    agrees(wait_s + MEAN_S, mean_s, cores=cores, utilisation=utilisation)


@pytest.mark.parametrize(
    ("work", "second_moment"),
    [
        ({"kind": "constant", "mean_ms": 20.0}, 1.0),
        ({"kind": "lognormal", "mean_ms": 20.0, "sigma": 1.0}, float(np.exp(1.0))),
    ],
    ids=["constant", "lognormal"],
)
def test_m_g_1(work: dict[str, Any], second_moment: float) -> None:
    # Pollaczek and Khinchine: the mean wait is rate * E[S^2] / (2 * (1 - utilisation)).
    wait_s = 0.6 / MEAN_S * second_moment * MEAN_S**2 / (2.0 * 0.4)
    agrees(wait_s + MEAN_S, mean_s, utilisation=0.6, work=work)


@pytest.mark.parametrize(
    "work",
    [EXPONENTIAL, {"kind": "constant", "mean_ms": 20.0}, {"kind": "lognormal", "mean_ms": 20.0, "sigma": 1.0}],
    ids=lambda work: str(work["kind"]),
)
def test_m_g_1_with_processor_sharing_knows_only_the_mean(work: dict[str, Any]) -> None:
    agrees(MEAN_S / (1.0 - 0.7), mean_s, utilisation=0.7, work=work, discipline="sharing")


def test_processor_sharing_slows_every_request_alike() -> None:
    # The mean sojourn of a request of work x is x / (1 - utilisation), whatever x.
    lognormal = {"kind": "lognormal", "mean_ms": 20.0, "sigma": 1.0}
    scenario = Scenario.model_validate(queue(0.7, work=lognormal, discipline="sharing", requests=600_000))
    of = run(scenario, "round_robin").requests
    demand = prepare(scenario.workload, Path(), streams(0))
    rows = demand.requests(scenario.load.rate or 0.0, scenario.duration_s, streams(0))
    work_s = np.concatenate([chunk["work_s"] for chunk in rows])[of["request"]]
    slowdown = latency_s(of) / work_s
    short = work_s < np.median(work_s)
    assert slowdown[short].mean() == pytest.approx(1.0 / 0.3, rel=0.08)
    assert slowdown[~short].mean() == pytest.approx(1.0 / 0.3, rel=0.08)


def test_jsq_with_two_servers() -> None:
    """Joining the shorter of two queues, against the stationary distribution of its Markov chain."""
    agrees(jsq_mean_s(0.8), mean_s, utilisation=0.8, count=2, policy="least_connections")


def jsq_mean_s(utilisation: float, most: int = 40) -> float:
    """Mean sojourn in JSQ with two exponential servers, from the chain over both queue lengths, cut at `most`."""
    arrivals, service = 2.0 * utilisation / MEAN_S, 1.0 / MEAN_S
    size = (most + 1) ** 2
    rates = np.zeros((size, size))

    def at(one: int, other: int) -> int:
        return one * (most + 1) + other

    for one in range(most + 1):
        for other in range(most + 1):
            here = at(one, other)
            for share, target in (
                (1.0 if one < other else 0.5 if one == other else 0.0, (one + 1, other)),
                (1.0 if other < one else 0.5 if one == other else 0.0, (one, other + 1)),
            ):
                if share and max(target) <= most:
                    rates[here, at(*target)] += arrivals * share
            if one:
                rates[here, at(one - 1, other)] += service
            if other:
                rates[here, at(one, other - 1)] += service
    np.fill_diagonal(rates, -rates.sum(axis=1))
    balance = np.vstack([rates.T[1:], np.ones(size)])
    stationary = np.linalg.solve(balance, np.array([0.0] * (size - 1) + [1.0]))
    in_system = sum(stationary[at(one, other)] * (one + other) for one in range(most + 1) for other in range(most + 1))
    return float(in_system / arrivals)
