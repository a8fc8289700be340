"""Runs and figures made by hand."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from simulator.kernel.state import LOG, Array
from simulator.measures.figures import Figures, figures
from simulator.result import Run
from smartlb.core.outcome import COMPLETE


def made_log(arrived_s: Any, latency_s: Any, **columns: Any) -> Array:
    """One attempt a request, successful and at backend 0 where `columns` do not say otherwise."""
    arrived_s = np.asarray(arrived_s, dtype=float)
    log = np.zeros(len(arrived_s), LOG)
    log["request"] = np.arange(len(log))
    log["arrived_s"], log["total_s"] = arrived_s, latency_s
    log["status"], log["outcome"], log["attempt"], log["last"] = 200, COMPLETE, 1, 1
    for name, values in columns.items():
        log[name] = values
    return log


def made_run(log: Array, **changes: Any) -> Run:
    """A run of two like backends; warm-up 0 s, 10 s long."""
    given: dict[str, Any] = {
        "scenario": "hand",
        "policy": "learned",
        "seed": 1,
        "options": "",
        "warmup_s": 0.0,
        "duration_s": 10.0,
        "classes": ["request"],
        "backends": ["a", "b"],
        "capacity": np.array([1.0, 1.0]),
        "utilisation": 0.5,
        "rate": len(log) / 10.0,
        "speedup": nan,
    }
    return Run(log=log, **{**given, **changes})


def busy_run(
    policy: str = "learned", seed: int = 1, scenario: str = "hand", mean_ms: float = 20.0, **changes: Any
) -> Run:
    """Exponential latencies at 200 requests a second for 20 s, one in 500 failing."""
    rng = np.random.default_rng([seed, len(policy)])
    count = 4000
    log = made_log(
        np.sort(rng.uniform(0.0, 20.0, count)),
        rng.exponential(mean_ms / 1000.0, count),
        backend=rng.integers(0, len(changes.get("backends", "ab")), count),
    )
    log["status"][::500] = 502
    log["outcome"][::500] = 14
    if policy == "learned":
        changes.setdefault("weights_s", np.arange(0.0, 20.0, 0.2))
        changes.setdefault("weights", np.full((100, len(changes.get("backends", "ab"))), 0.5))
    given: dict[str, Any] = {"warmup_s": 2.0, "duration_s": 20.0, "rate": 200.0, "wall_s": 0.1}
    return made_run(log, policy=policy, seed=seed, scenario=scenario, **{**given, **changes})


def made_figures(policy: str, seed: int = 1, scenario: str = "hand", **changes: Any) -> Figures:
    """Figures of next to nothing, with what a test is about put in."""
    base = figures(made_run(made_log([1.0, 2.0], [0.01, 0.01]), policy=policy, seed=seed, scenario=scenario))
    names = Figures.__slots__
    return Figures(**{**{name: getattr(base, name) for name in names}, **changes})


def table_of(values: Mapping[str, Sequence[float]], scenario: str = "hand") -> list[Figures]:
    """Figures by policy and seed that differ in p99 and mean, given in milliseconds, alike."""
    return [
        made_figures(policy, seed, scenario, p99_ms=value, mean_ms=value / 4)
        for policy, seeds in values.items()
        for seed, value in enumerate(seeds, 1)
    ]
