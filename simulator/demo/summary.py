"""Figures from a policy's results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.demo.load import TIMED_OUT, Array
from simulator.demo.scenario import Fault

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """One policy's figures; latencies in milliseconds, None where there is nothing to measure.

    Attributes:
        policy: its name.
        requests: how many are counted.
        mean_ms: of the requests that `measured` takes.
        p50_ms: likewise, as all percentiles.
        p90_ms: likewise.
        p99_ms: likewise.
        fault_p99_ms: p99 of the requests that arrived during each fault.
        failed: share of requests with an error or without an answer in time.
        errors: requests answered with an error, or whose connection broke.
        timeouts: requests without an answer in time.
        late_p99_ms: how late the generator sent, from the schedule.
        waited: requests that waited for one of the generator's own connections.
    """

    policy: str
    requests: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    fault_p99_ms: dict[str, float | None]
    failed: float
    errors: int
    timeouts: int
    late_p99_ms: float
    waited: int


def measured(results: Array) -> npt.NDArray[np.bool_]:
    """Which results have a latency that counts: successes, and time-outs with the time they were given.

    Leaving time-outs out would flatter a policy that lets requests wait for ever, and counting quick errors
    would flatter one that sends requests where they fail; errors show in the failed share instead.
    """
    return np.asarray((results["status"] == 200) | (results["status"] == TIMED_OUT))


def failures(results: Array) -> npt.NDArray[np.bool_]:
    """Which requests did not get what they asked for."""
    return np.asarray(results["status"] != 200)


def latencies_ms(results: Array) -> Floats:
    """The latencies that count, in milliseconds."""
    return np.asarray(results["latency_s"][measured(results)] * 1000)


def percentile(values: Floats, q: float) -> float | None:
    """A percentile, or None of nothing."""
    return float(np.percentile(values, q)) if len(values) else None


def during(results: Array, fault: Fault) -> Array:
    """The results of requests that arrived during a fault."""
    at_s = results["at_s"]
    return results[(at_s >= fault.starts_s) & (at_s < fault.ends_s)]


def summarise(policy: str, results: Array, faults: Sequence[Fault]) -> Summary:
    """The figures of one policy's results, whose `at_s` counts from the end of the warm-up."""
    latency = latencies_ms(results)
    timeouts = int((results["status"] == TIMED_OUT).sum())
    failed = int(failures(results).sum())
    return Summary(
        policy=policy,
        requests=len(results),
        mean_ms=float(latency.mean()) if len(latency) else None,
        p50_ms=percentile(latency, 50),
        p90_ms=percentile(latency, 90),
        p99_ms=percentile(latency, 99),
        fault_p99_ms={fault.name: percentile(latencies_ms(during(results, fault)), 99) for fault in faults},
        failed=failed / max(1, len(results)),
        errors=failed - timeouts,
        timeouts=timeouts,
        late_p99_ms=percentile(results["late_s"] * 1000, 99) or 0.0,
        waited=int(results["waited"].sum()),
    )


def ratio(value: float | None, reference: float | None) -> float | None:
    """How many times the reference a value is."""
    return value / reference if value is not None and reference else None
