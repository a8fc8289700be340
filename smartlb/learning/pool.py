"""One pool: what its backends' models claim, tempered by the pool's experience, as costs and weights."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, nan

import numpy as np

from smartlb.learning.backend import BackendLearner, Scale
from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.exploration import Debts
from smartlb.learning.model import DriftDetector, ErrorModel, LatencyModel
from smartlb.learning.weights import split, step

UNKNOWN_COST_S = 0.001
"""Cost of a request, and of each in flight, before anything is known; the same everywhere, so only equality counts."""

LATENCY_PRIOR = 2.0
"""How many requests the pool's latency of a class counts as, beside what a backend has shown itself."""

ERROR_PRIOR = 2.0
"""How many requests the pool's error rate counts as, likewise."""

LATENCY_TURN_S = 8.0
"""Least age at which a latency model's younger takes over; claims rest on one to two turns."""

LATENCY_TURN_REQUESTS = 16
"""Least requests per backend of the pool between these turns, so that a quiet night forgets nothing."""

ERROR_TURN_S = 2.0
"""As `LATENCY_TURN_S`, for errors, which come and go faster."""

ERROR_TURN_REQUESTS = 4
"""As `LATENCY_TURN_REQUESTS`."""

MEMORY_S = 3.0
"""Time constant of the pool's scale and mix of classes."""

STEP = 1.4
"""Largest ratio between a weight and its successor."""

FREE_S = 1.0
"""For how long after a drift weights move without that bound."""

START_S = 3.0
"""For how long after the first requests they do."""

AFFINITY_S = 5.0
"""Time constant at which it is learned for which classes a backend is better than for others."""

AFFINITY_KEPT_S = 60.0
"""Time constant at which that is forgotten where nothing new supports it."""

LEAST_QUEUE = 0.1
"""Least share of the cost at the pool's usual load that is due to load. It breaks ties between equal backends by
their load; without it the luck of the estimates would."""

MOST_QUEUE = 0.95
"""Largest such share: a line through a busy backend's latencies may meet zero load below zero."""

FREAK = 32.0
"""Latencies count as at most this multiple of the pool's mean."""

BARGAIN = 0.5
"""Cost at which a backend that is owed a request is offered, as a multiple of the cheapest."""


@dataclass(frozen=True, slots=True)
class Claims:
    """A pool's part of a snapshot; each ``[classes, backends]``, as in `smartlb.core.snapshot.Snapshot`."""

    weight: Matrix
    base_s: Matrix
    slope_s: Matrix
    error_rate: Matrix


class PoolLearner:
    """Learns one pool.

    Args:
        backends: how many it has.
        classes: how many request classes there are.
        latency_model: makes a latency model.
        error_model: makes an error model.
        drift_detector: makes a drift detector.
        exploration_floor: least weight, as a share of the fair share.
        error_penalty_s: what a failure costs.
        rng: of this pool.

    Attributes:
        drifts: backends found changed, so far.
        longest_s: latencies above this are to count as this.
    """

    def __init__(
        self,
        backends: int,
        classes: int,
        latency_model: Callable[[], LatencyModel],
        error_model: Callable[[], ErrorModel],
        drift_detector: Callable[[], DriftDetector],
        exploration_floor: float,
        error_penalty_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._shape = (classes, backends)
        self._backends = [
            BackendLearner(classes, latency_model, error_model, drift_detector) for _ in range(backends)
        ]
        self._floor = exploration_floor / backends
        self._error_penalty_s = error_penalty_s
        self._debts = Debts(classes, backends, exploration_floor, rng)
        self._weight = np.full(self._shape, 1.0 / backends)
        self._target = self._weight
        self._affinity = np.zeros(self._shape)
        self._time_s = 0.0
        self._free_until_s = inf
        self._mix = np.zeros(classes)
        self._successes = _Totals()
        self._latency_turn = _Turn(LATENCY_TURN_S, LATENCY_TURN_REQUESTS * backends)
        self._error_turn = _Turn(ERROR_TURN_S, ERROR_TURN_REQUESTS * backends)
        self.drifts = 0
        self.longest_s = inf

    def update(self, requests: Matrix, failures: Matrix, cells: list[list[Cell]], elapsed_s: float) -> Claims:
        """Learn from a tick.

        Args:
            requests: ``[classes, backends]``.
            failures: ``[classes, backends]``; how many of the requests failed.
            cells: latencies of the requests that succeeded, by backend.
            elapsed_s: since the last tick.
        """
        self._time_s += elapsed_s
        count = float(requests.sum())
        keep = exp(-elapsed_s / MEMORY_S)
        self._mix = self._mix * keep + requests.sum(axis=1)
        fresh = self._successes.requests == 0.0
        self._successes.add(cells, keep)
        if fresh and count:
            self._free_until_s = self._time_s + START_S
        scale = self._successes.scale
        self.longest_s = FREAK * scale.latency_s if self._successes.requests else inf

        for backend, own, asked, failed in zip(
            self._backends, cells, requests.T.tolist(), failures.T.tolist(), strict=True
        ):
            if fresh:
                backend.forget(scale)
            if backend.update(own, asked, failed, self._time_s, scale):
                self.drifts += 1
                self._free_until_s = max(self._free_until_s, self._time_s + FREE_S)
        if self._latency_turn.due(self._time_s, count):
            for backend in self._backends:
                backend.turn_latency()
        if self._error_turn.due(self._time_s, count):
            for backend in self._backends:
                backend.turn_errors()
        self._debts.settle(requests)
        return self._claims(scale, elapsed_s)

    def _claims(self, scale: Scale, elapsed_s: float) -> Claims:
        usual, queue = self._latency_claims(scale, elapsed_s)
        error_rate = self._error_claims()
        penalty_s = self._error_penalty_s * error_rate
        self._target = split(usual + penalty_s, self._mix, self._target)
        free = self._time_s <= self._free_until_s
        self._weight = step(self._weight, self._target, self._floor, inf if free else STEP)
        base_s = usual * (1.0 - queue) + penalty_s
        slope_s = usual * queue / scale.in_flight
        if self._successes.requests:
            due = self._debts.due
            base_s, slope_s = (
                np.where(due, BARGAIN * base_s.min(axis=1, keepdims=True), base_s),
                np.where(due, BARGAIN * slope_s, slope_s),
            )
        return Claims(self._weight, base_s, slope_s, error_rate)

    def _latency_claims(self, scale: Scale, elapsed_s: float) -> tuple[Matrix, Matrix]:
        """Latency at the pool's usual load, and the share of it that is due to load."""
        usual, idle, evidence = (np.empty(self._shape) for _ in range(3))
        for at, backend in enumerate(self._backends):
            for request_class in range(self._shape[0]):
                usual[request_class, at] = backend.latency_s(scale.in_flight, request_class)
                idle[request_class, at] = backend.latency_s(0.0, request_class)
            evidence[:, at] = backend.latency_evidence
        evidence[np.isnan(usual) | np.isnan(idle)] = 0.0
        usual = np.clip(np.nan_to_num(usual), scale.latency_s / 1000.0, scale.latency_s * 1000.0)
        queue = np.clip(1.0 - np.nan_to_num(idle) / usual, LEAST_QUEUE, MOST_QUEUE)
        unknown = 2.0 * UNKNOWN_COST_S if not self._successes.requests else scale.latency_s
        pool = _pooled(usual, evidence, unknown)
        claim = _tempered(usual, evidence, LATENCY_PRIOR, pool * np.exp(self._affinity))
        self._learn_affinity(np.log(claim / pool), evidence, elapsed_s)
        return claim, _tempered(queue, evidence, LATENCY_PRIOR, _pooled(queue, evidence, 0.5))

    def _learn_affinity(self, ratio: Matrix, evidence: Matrix, elapsed_s: float) -> None:
        """Take in how backends compare with their pool, by class; how they do over all classes is left out."""
        mix = self._mix + 1e-9
        ratio = ratio - np.average(ratio, axis=0, weights=mix)
        gain = (1.0 - exp(-elapsed_s / AFFINITY_S)) * evidence / (evidence + LATENCY_PRIOR)
        self._affinity = self._affinity * exp(-elapsed_s / AFFINITY_KEPT_S) * (1.0 - gain) + gain * ratio

    def _error_claims(self) -> Matrix:
        rate, evidence = np.empty(self._shape), np.empty(self._shape)
        for at, backend in enumerate(self._backends):
            for request_class in range(self._shape[0]):
                rate[request_class, at] = backend.error_rate(request_class)
            evidence[:, at] = backend.error_evidence.sum()
        return _tempered(rate, evidence, ERROR_PRIOR, _pooled(rate, evidence, 0.0))


def _pooled(claim: Matrix, evidence: Matrix, unknown: float) -> Matrix:
    """``[classes, 1]``: what the pool's requests of a class see, or those of all classes for a class that is new."""
    total = evidence.sum(axis=1, keepdims=True)
    everything = float(total.sum())
    overall = float((claim * evidence).sum()) / everything if everything else unknown
    return np.asarray(
        np.where(total > 0.0, (claim * evidence).sum(axis=1, keepdims=True) / np.maximum(total, 1.0), overall)
    )


def _tempered(claim: Matrix, evidence: Matrix, strength: float, prior: Matrix) -> Matrix:
    """Claims drawn toward a prior that counts as `strength` requests."""
    return np.asarray((claim * evidence + prior * strength) / (evidence + strength))


class _Totals:
    """Successful requests of a pool, fading."""

    def __init__(self) -> None:
        self.requests = 0.0
        self._latency_s = nan
        self._in_flight = nan

    def add(self, cells: list[list[Cell]], keep: float) -> None:
        """Take in a tick's cells after old ones faded to `keep` of what they were."""
        flat = [cell for own in cells for cell in own]
        count = sum(cell.count for cell in flat)
        if not count:
            return
        latency_s = sum(cell.latency_s * cell.count for cell in flat) / count
        in_flight = sum(cell.in_flight * cell.count for cell in flat) / count
        old = self.requests * keep
        total = old + count
        if self.requests == 0.0:
            self._latency_s, self._in_flight = latency_s, in_flight
        else:
            self._latency_s += (latency_s - self._latency_s) * count / total
            self._in_flight += (in_flight - self._in_flight) * count / total
        self.requests = total

    @property
    def scale(self) -> Scale:
        """The means; never so small that a model divided by them misbehaves."""
        if not self.requests:
            return Scale(2.0 * UNKNOWN_COST_S, 1.0)
        return Scale(max(self._latency_s, 1e-6), max(self._in_flight, 1.0))


class _Turn:
    """When generations turn: after a time in which enough requests came."""

    def __init__(self, period_s: float, least_requests: float) -> None:
        self._period_s = period_s
        self._least_requests = least_requests
        self._since_s = 0.0
        self._requests = 0.0

    def due(self, time_s: float, requests: float) -> bool:
        """Whether the time has come; if so, the next turn begins."""
        self._requests += requests
        if time_s - self._since_s < self._period_s or self._requests < self._least_requests:
            return False
        self._since_s, self._requests = time_s, 0.0
        return True
