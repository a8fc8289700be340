"""What pictures show of a run, small enough to be sent between processes and kept for all runs of a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, log10
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.kernel.state import Array
from simulator.measures.lanes import Lanes, lanes
from simulator.result import Run, failed, latency_s
from smartlb.core.record import NO_BACKEND

Floats = npt.NDArray[np.float64]

BINS: Final = 120
"""Most spans of time that a run is cut into."""

BIN_REQUESTS: Final = 300
"""Requests that a span has on average at least, so that its p99 is more than its slowest."""

FEWEST_BINS: Final = 12

POINTS: Final = 200
"""Of the distribution of latencies."""

BARS: Final = 100
"""Most of what health checks and ejection did that is kept."""


@dataclass(frozen=True, slots=True)
class Span:
    """A trouble, for JSON: as `simulator.result.Trouble`, with None for an end that never comes."""

    name: str
    starts_s: float
    ends_s: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """A backend was taken out of the pool or put back, as `simulator.result.Bar`, by its name."""

    at_s: float
    backend: str
    eligible: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Curves:
    """A run, reduced to what is drawn; plain lists, so `dataclasses.asdict` of it is JSON.

    Attributes:
        scenario, policy, seed: of the run.
        warmup_s, duration_s: as in `simulator.result.Run`.
        edges_s: ``[bins + 1]``; the spans of time, the warm-up included, by arrival.
        requests: ``[bins]``; how many arrived.
        errors: ``[bins]``; how many of them failed.
        p50_ms, p99_ms: ``[bins]``; of those that did not; None of nothing.
        slower: ``[points]``; shares of requests, descending from 1.
        slower_ms: ``[points]``; the latency that this share exceeds, failed requests being infinitely slow: None.
        lanes: ``[lanes]``; names of backends, or of groups of them; see `simulator.measures.lanes`.
        lane_sizes: ``[lanes]``; how many backends each is.
        troubled: ``[lanes]``; whether a fault concerns one of them.
        shares: ``[lanes][bins]``; of the attempts that reached a backend; all 0 where there was none.
        weights: ``[lanes][bins]``; learned weights, summed over each lane, as they were at each bin's end; None before
            the first; empty without a learner.
        troubles: the faults.
        events: the first `BARS` of what health checks and ejection did.
        more_events: how many are left out.
    """

    scenario: str
    policy: str
    seed: int
    warmup_s: float
    duration_s: float
    edges_s: list[float]
    requests: list[int]
    errors: list[int]
    p50_ms: list[float | None]
    p99_ms: list[float | None]
    slower: list[float]
    slower_ms: list[float | None]
    lanes: list[str]
    lane_sizes: list[int]
    troubled: list[bool]
    shares: list[list[float]]
    weights: list[list[float | None]]
    troubles: list[Span]
    events: list[Event]
    more_events: int


def curves(run: Run) -> Curves:
    """Reduce a run to what is drawn; some tens of kilobytes, however long it was."""
    ended = run.log[run.log["last"] == 1]
    ended = ended[np.argsort(ended["arrived_s"], kind="stable")]
    bins = int(np.clip(len(ended) // BIN_REQUESTS, FEWEST_BINS, BINS))
    edges_s = np.linspace(0.0, run.duration_s, bins + 1)
    bounds = np.searchsorted(ended["arrived_s"], edges_s)
    wrong = failed(ended)
    latency_ms = latency_s(ended) * 1e3
    p50, p99 = [], []
    for first, last in pairwise(bounds.tolist()):
        within = latency_ms[first:last][~wrong[first:last]]
        both = np.percentile(within, (50, 99)).tolist() if len(within) else [None, None]
        p50.append(both[0])
        p99.append(both[1])
    troubled = [change.backend for change in run.changes]
    shown = lanes(run.backends, troubled)
    levels, slower_ms = distribution(run.requests)
    return Curves(
        scenario=run.scenario,
        policy=run.policy,
        seed=run.seed,
        warmup_s=run.warmup_s,
        duration_s=run.duration_s,
        edges_s=edges_s.tolist(),
        requests=np.diff(bounds).tolist(),
        errors=[int(wrong[first:last].sum()) for first, last in pairwise(bounds.tolist())],
        p50_ms=p50,
        p99_ms=p99,
        slower=levels,
        slower_ms=slower_ms,
        lanes=list(shown.names),
        lane_sizes=shown.size,
        troubled=[
            bool(set(np.flatnonzero(shown.of == lane).tolist()) & set(troubled)) for lane in range(len(shown.names))
        ],
        shares=_shares(run.log, shown, edges_s),
        weights=_weights(run, shown, edges_s),
        troubles=[
            Span(each.name, each.starts_s, each.ends_s if isfinite(each.ends_s) else None) for each in run.troubles
        ],
        events=[Event(bar.at_s, run.backends[bar.backend], bar.eligible, bar.reason) for bar in run.bars[:BARS]],
        more_events=max(0, len(run.bars) - BARS),
    )


def distribution(requests: Array) -> tuple[list[float], list[float | None]]:
    """Which share of requests is slower than which latency.

    Shares are evenly spaced on a logarithmic scale, from all down to that of the slowest ten; below there is chance.

    Args:
        requests: `simulator.kernel.state.LOG`; the last attempts.

    Returns:
        Shares, descending, and for each of them the latency in milliseconds that it exceeds; None where failed requests
        are more than the share, as they are slower than any.
    """
    if not len(requests):
        return [], []
    latency_ms = np.where(failed(requests), inf, latency_s(requests) * 1e3)
    shares = np.logspace(0.0, min(-1.0, 1.0 - log10(len(requests))), POINTS)
    # Not interpolated: between a latency and a failure there is nothing.
    values = np.quantile(latency_ms, 1.0 - shares, method="lower")
    return shares.tolist(), [value if isfinite(value) else None for value in values.tolist()]


def _shares(log: Array, shown: Lanes, edges_s: Floats) -> list[list[float]]:
    reached = log[log["backend"] != NO_BACKEND]
    size, bins = len(shown.names), len(edges_s) - 1
    at = np.searchsorted(edges_s, reached["arrived_s"], side="right") - 1
    at = np.minimum(at, bins - 1)
    counts = np.bincount(shown.of[reached["backend"]] * bins + at, minlength=size * bins).reshape(size, bins)
    shares: list[list[float]] = (counts / np.maximum(1, counts.sum(axis=0))).tolist()
    return shares


def _weights(run: Run, shown: Lanes, edges_s: Floats) -> list[list[float | None]]:
    if not len(run.weights_s):
        return []
    latest = np.searchsorted(run.weights_s, edges_s[1:], side="right") - 1
    by_lane = np.zeros((len(shown.names), len(latest)))
    np.add.at(by_lane, shown.of, run.weights[np.maximum(latest, 0)].T)
    rows: Sequence[Sequence[float]] = by_lane.tolist()
    return [[value if tick >= 0 else None for value, tick in zip(row, latest.tolist(), strict=True)] for row in rows]
