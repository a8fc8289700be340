"""All figures of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from simulator.kernel.state import Array
from simulator.measures.fairness import jain
from simulator.measures.in_flight import averages, grows
from simulator.measures.latency import mean, percentiles, successful_ms
from simulator.measures.recovery import Recovery, recoveries
from simulator.result import Run, failed, latency_s
from smartlb.core.outcome import COMPLETE, Outcome
from smartlb.core.record import NO_BACKEND


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy in one scenario with one seed; `dataclasses.asdict` of it is JSON.

    All but `wall_s`, `requests_per_wall_s`, `rate` and `bars` is of the requests that arrived after the warm-up.

    Attributes:
        scenario, policy, seed, options: as in `simulator.result.Run`.
        requests: how many counted.
        mean_ms: latency of those that did not fail, from arrival to end, retries included; None where all failed.
        p50_ms, p90_ms, p99_ms, p999_ms: likewise; p999 is the 99.9th percentile.
        errors: share of requests that failed, from the client's point of view.
        errors_by: how many failed with which outcome, or with which status where a response came (``status 503``).
        attempts: tried per request; 1 where nothing was retried.
        refused: share of attempts that a backend answered 503 because its queue was full.
        in_flight: requests under way, averaged over each quarter of the time that counts.
        grows: whether queues grow all the time; see `simulator.measures.in_flight.grows`.
        recovery: of each trouble; see `simulator.measures.recovery`.
        fairness: Jain's index over the backends, all through the run, of requests answered well per `capacity`. It is
            1 where everyone is used alike for what it can do, well or not: a policy that rightly leaves alone who is
            slow or broken is less fair. Requests are counted and not their work, so classes that cost differently
            and go to different backends lower it.
        share: of all attempts that reached a backend, by backend.
        utilisation: offered load, as a share of what the fleet can carry at best.
        rate: requests a second.
        speedup: of a trace; None for generated workloads.
        source: of the requests, in words.
        stand_in: whether a generated stand-in took a trace's place.
        skipped: malformed lines of the trace.
        duration_s: until when requests arrived.
        warmup_s: until when nothing counts.
        drifts: changes that the learner noticed.
        bars: how many times a backend was taken out, by health checks or ejection.
        wall_s: how long the simulation took.
        requests_per_wall_s: simulated requests a second, the warm-up included; None where it took no time.
    """

    scenario: str
    policy: str
    seed: int
    options: str
    requests: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    errors: float
    errors_by: Mapping[str, int]
    attempts: float | None
    refused: float
    in_flight: list[float]
    grows: bool
    recovery: list[Recovery]
    fairness: float | None
    share: Mapping[str, float]
    utilisation: float
    rate: float
    speedup: float | None
    source: str
    stand_in: bool
    skipped: int
    duration_s: float
    warmup_s: float
    drifts: int
    bars: int
    wall_s: float
    requests_per_wall_s: float | None


def figures(run: Run) -> Figures:
    """Everything that is measured of a run."""
    requests = run.requests
    attempts = run.log[run.log["arrived_s"] >= run.warmup_s]
    ended = run.log[run.log["last"] == 1]
    latency = successful_ms(requests)
    p50, p90, p99, p999 = percentiles(latency, (50.0, 90.0, 99.0, 99.9))
    reached = attempts[attempts["backend"] != NO_BACKEND]
    count = len(run.backends)
    quarters_s = np.linspace(run.warmup_s, run.duration_s, 5).tolist()
    in_flight = averages(ended["arrived_s"], latency_s(ended), quarters_s)
    tried = np.bincount(reached["backend"], minlength=count)
    served = np.bincount(reached["backend"][~failed(reached)], minlength=count)
    refused = (reached["outcome"] == COMPLETE) & (reached["status"] == 503)
    return Figures(
        scenario=run.scenario,
        policy=run.policy,
        seed=run.seed,
        options=run.options,
        requests=len(requests),
        mean_ms=mean(latency),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        errors=1.0 - len(latency) / len(requests) if len(requests) else 0.0,
        errors_by=errors_by(requests),
        attempts=float(requests["attempt"].mean()) if len(requests) else None,
        refused=float(refused.sum()) / max(1, len(attempts)),
        in_flight=in_flight,
        grows=grows(in_flight, count),
        recovery=recoveries(run),
        fairness=jain(served / run.capacity),
        share=dict(zip(run.backends, (tried / max(1, len(reached))).tolist(), strict=True)),
        utilisation=run.utilisation,
        rate=run.rate,
        speedup=run.speedup if isfinite(run.speedup) else None,
        source=run.source,
        stand_in=run.stand_in,
        skipped=run.skipped,
        duration_s=run.duration_s,
        warmup_s=run.warmup_s,
        drifts=run.drifts,
        bars=sum(not bar.eligible for bar in run.bars),
        wall_s=run.wall_s,
        requests_per_wall_s=len(ended) / run.wall_s if run.wall_s > 0.0 else None,
    )


def errors_by(requests: Array) -> dict[str, int]:
    """How many requests failed with which outcome, or with which status where a response came.

    Args:
        requests: `simulator.kernel.state.LOG`; the last attempts.
    """
    wrong = requests[failed(requests)]
    kinds, counts = np.unique(np.stack((wrong["outcome"], wrong["status"]), axis=1), axis=0, return_counts=True)
    found: dict[str, int] = {}
    for (outcome, status), number in zip(kinds.tolist(), counts.tolist(), strict=True):
        label = f"status {status}" if outcome == COMPLETE else Outcome(outcome).label
        found[label] = found.get(label, 0) + number
    return found
