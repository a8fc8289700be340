"""One pool: what its backends' models claim, tempered by the pool's experience, as costs and weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite

import numpy as np

from smartlb.learning.backend import BackendLearner
from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.checkpoint import BackendMemory, Example, Outcomes, PoolMemory
from smartlb.learning.exploration import Debts
from smartlb.learning.generations import Turn, TurnRule
from smartlb.learning.hierarchy import Affinity, pooled, tempered
from smartlb.learning.model import DriftDetector, ErrorModel, LatencyModel
from smartlb.learning.seats import Kept, seated
from smartlb.learning.traffic import MEMORY_S, Scale, Traffic
from smartlb.learning.trial import Trial
from smartlb.learning.weights import fill, opportunity, relieve, split, step
from smartlb.learning.work import Work

LATENCY_PRIOR = 8.0
"""How many requests the pool's latency of a class counts as, beside what a backend has shown itself."""

ERROR_PRIOR = 2.0
"""How many requests the pool's error rate counts as, likewise."""

LATENCY_TURN = TurnRule(period_s=16.0, starved_s=3.0, requests=16)
"""Of latency models; a backend that is avoided is judged by newer requests, so that it is forgiven soon."""

ERROR_TURN = TurnRule(period_s=2.0, starved_s=2.0, requests=4)
"""Of error models: errors come and go faster."""

STEP = 1.4
"""Largest ratio between a weight and its successor."""

FREE_S = 1.0
"""For how long after a drift weights move without that bound."""

START_S = 3.0
"""For how long after the first requests they do."""

LEAST_QUEUE = 0.5
"""Least share of the cost at a backend's usual load that is due to load. Backends with cores to spare show none; but
choosing by latency alone, the luck of the estimates would send waves of traffic from one to the next."""

MOST_QUEUE = 0.95
"""Largest such share: a line through a busy backend's latencies may meet zero load below zero."""


OPPORTUNITY = 0.7
"""How far a cost counts what else a backend could do: not at all at 0, wholly at 1."""

TELLING = 5.0
"""How much faster affinities are learned from the time that requests take than from latencies."""

HORIZON_S = 0.4
"""Within about this time, weights for routers that do not see each other's requests even out what has piled up."""

FEW = 4.0
"""Where fewer requests than this come to a backend within that, the next ones are sent where they cost least."""


@dataclass(frozen=True, slots=True)
class Claims:
    """A pool's part of a snapshot, as in `smartlb.core.snapshot.Snapshot`."""

    weight: Matrix
    explore: Matrix
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
        apart: whether its routers do not see each other's requests in flight.

    Attributes:
        drifts: backends found changed, so far.
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
        apart: bool = False,
    ) -> None:
        self._apart = apart
        self._shape = (classes, backends)
        self._make = partial(BackendLearner, classes, latency_model, error_model, drift_detector)
        self._backends = [self._make() for _ in range(backends)]
        self._exploration_floor = exploration_floor
        self._floor = exploration_floor / backends
        self._error_penalty_s = error_penalty_s
        self._debts = Debts(backends, exploration_floor)
        self._weight = np.full(self._shape, 1.0 / backends)
        self._target = self._weight
        self._affinity = Affinity(classes, backends)
        self._traffic = Traffic(classes, backends)
        self._work = Work(classes, backends)
        self._time_s = 0.0
        self._in_flight: Matrix | None = None
        self._free_until_s = inf
        self._latency_turns = [Turn(LATENCY_TURN, backends) for _ in range(backends)]
        self._error_turns = [Turn(ERROR_TURN, backends) for _ in range(backends)]
        self._trial: Trial | None = None
        self.drifts = 0

    def reseat(self, kept: Kept) -> None:
        """Go on with other backends, one at least; the weights find their new places at once."""
        size, classes = len(kept), self._shape[0]
        self._shape = (classes, size)
        self._backends = [self._make() if before is None else self._backends[before] for before in kept]
        for backend, before in zip(self._backends, kept, strict=True):
            if before is None:
                backend.rescale(self._traffic.scale)
        self._floor = self._exploration_floor / size
        for part in (self._debts, self._affinity, self._traffic, self._work):
            part.reseat(kept)
        fair = 1.0 / size
        self._weight = seated(self._weight, kept, fair)
        self._weight /= self._weight.sum(axis=1, keepdims=True)
        self._target = seated(self._target, kept, fair)
        self._target /= self._target.sum(axis=1, keepdims=True)
        self._in_flight = None
        self._free_until_s = max(self._free_until_s, self._time_s + FREE_S)
        self._latency_turns = [self._turn(LATENCY_TURN, self._latency_turns, before, size) for before in kept]
        self._error_turns = [self._turn(ERROR_TURN, self._error_turns, before, size) for before in kept]

    def _turn(self, rule: TurnRule, turns: list[Turn], before: int | None, size: int) -> Turn:
        if before is None:
            return Turn(rule, size, self._time_s)
        turns[before].resize(size)
        return turns[before]

    def update(
        self,
        requests: Matrix,
        failures: Matrix,
        cells: list[list[Cell]],
        elapsed_s: float,
        in_flight: Matrix | None = None,
    ) -> Claims:
        """Learn from a tick.

        Args:
            requests: ``[classes, backends]``.
            failures: ``[classes, backends]``; how many of the requests failed.
            cells: latencies of the requests that succeeded, by backend.
            elapsed_s: since the last tick.
            in_flight: ``[backends]``; requests in flight now, where known.
        """
        before, self._in_flight = self._in_flight, in_flight
        loads = self._loads(before, in_flight)
        self._time_s += elapsed_s
        count = float(requests.sum())
        if count and self._free_until_s == inf:
            self._free_until_s = self._time_s + START_S
        first = not self._traffic.successes
        self._traffic.add(requests, cells, elapsed_s)
        self._work.add(requests, cells, before, in_flight, elapsed_s)
        scale = self._traffic.scale
        self._try(cells, elapsed_s)
        for backend, own, asked, failed, load in zip(
            self._backends, cells, requests.T.tolist(), failures.T.tolist(), loads, strict=True
        ):
            if first:
                backend.rescale(scale)
            if backend.update(own, asked, failed, self._time_s, scale, load):
                self.drifts += 1
                self._free_until_s = max(self._free_until_s, self._time_s + FREE_S)
        for backend, turn, error_turn, own_count in zip(
            self._backends, self._latency_turns, self._error_turns, requests.sum(axis=0).tolist(), strict=True
        ):
            if turn.due(self._time_s, count, own_count):
                backend.turn_latency()
            if error_turn.due(self._time_s, count, own_count):
                backend.turn_errors()
        self._debts.settle(requests.sum(axis=0), failures.sum(axis=0), in_flight)
        return self._claims(scale, elapsed_s)

    def _loads(self, before: Matrix | None, in_flight: Matrix | None) -> Sequence[float | None]:
        """Mean in flight at each backend since the last tick, as far as its ends tell."""
        if before is None or in_flight is None:
            return [None] * len(self._backends)
        return list(map(float, (before + in_flight) / 2.0))

    def latency_s(self, backend: int, in_flight: float, request_class: int) -> float:
        """What a backend's model predicts; NaN where it knows nothing."""
        return self._backends[backend].latency_s(in_flight, request_class)

    def memory(self, classes: Sequence[str], backends: Sequence[str]) -> PoolMemory:
        """What is known, by the names of the classes and backends."""
        traffic = self._traffic
        return PoolMemory(
            latency_s=traffic.scale.latency_s,
            in_flight=traffic.scale.in_flight,
            successes=traffic.successes,
            requests=dict(zip(classes, traffic.by_class.tolist(), strict=True)),
            backends={
                name: BackendMemory(
                    latency=[
                        Example(request_class=classes[at], in_flight=load, latency_s=latency_s, requests=requests)
                        for at, load, latency_s, requests in backend.examples()
                    ],
                    outcomes={
                        classes[at]: Outcomes(requests=requests, failures=failures)
                        for at, requests, failures in backend.outcomes()
                    },
                )
                for name, backend in zip(backends, self._backends, strict=True)
            },
        )

    def recall(self, memory: PoolMemory, classes: Sequence[str], backends: Sequence[str]) -> None:
        """Begin from what was known before; what `memory` has no name for starts cold."""
        number = {name: at for at, name in enumerate(classes)}
        scale = Scale(memory.latency_s, max(memory.in_flight, 1.0))
        by_class = np.array([memory.requests.get(name, 0.0) for name in classes])
        self._traffic.recall(scale, memory.successes, by_class)
        for name, backend in zip(backends, self._backends, strict=True):
            backend.rescale(scale)
            if (known := memory.backends.get(name)) is None:
                continue
            examples = [
                Cell(number[each.request_class], each.in_flight, each.latency_s, each.requests)
                for each in known.latency
                if each.request_class in number
            ]
            outcomes = [
                (number[request_class], each.requests, min(each.failures, each.requests))
                for request_class, each in known.outcomes.items()
                if request_class in number
            ]
            backend.recall(examples, outcomes, scale)
        self._trial = Trial(len(self._backends))

    def _try(self, cells: list[list[Cell]], elapsed_s: float) -> None:
        """Drop what was recalled where the first answers contradict it."""
        if self._trial is None:
            return
        self._trial.add(
            [
                (cell, expected_s)
                for backend, own in zip(self._backends, cells, strict=True)
                for cell in own
                if isfinite(expected_s := backend.latency_s(cell.in_flight, cell.request_class))
            ],
            elapsed_s,
        )
        if self._trial.contradicted:
            for backend in self._backends:
                backend.forget()
            self._affinity = Affinity(*self._shape)
            self._free_until_s = self._time_s + START_S
        if self._trial.contradicted or self._trial.over:
            self._trial = None

    @property
    def size(self) -> int:
        """How many backends the pool has."""
        return self._shape[1]

    @property
    def longest_s(self) -> float:
        """Latencies above this are to count as this."""
        return self._traffic.longest_s

    def _claims(self, scale: Scale, elapsed_s: float) -> Claims:
        usual, queue = self._latency_claims(scale, elapsed_s)
        error_rate = self._error_claims()
        penalty_s = self._error_penalty_s * error_rate
        if self._work.crowded:
            return self._crowded(scale, usual, error_rate, elapsed_s)
        self._target = split(usual + penalty_s, self._traffic.mix, self._target)
        free = self._time_s <= self._free_until_s
        self._weight = step(self._weight, self._target, self._floor, inf if free else STEP)
        dearer = opportunity(usual + penalty_s, self._traffic.mix, self._target) ** OPPORTUNITY
        # A line is to be trusted only where requests have been: half-way, in ratio, to what the backend itself has.
        loads = np.sqrt(self._traffic.loads * scale.in_flight)
        idle = usual * (1.0 - queue)
        here = idle + usual * queue * loads / scale.in_flight
        due = np.clip(1.0 - idle / here, LEAST_QUEUE, MOST_QUEUE)
        base_s = (here * (1.0 - due) + penalty_s) * dearer
        slope_s = here * due / loads * dearer
        return Claims(self._evened(usual, base_s, slope_s), self._explore, base_s, slope_s, error_rate)

    def _crowded(self, scale: Scale, usual: Matrix, error_rate: Matrix, elapsed_s: float) -> Claims:
        """Claims while requests mostly wait: what counts then is how much of a backend's time each takes.

        A request costs its time times the wait there, as in MinDrift (Stolyar, Optimal routing in output-queued
        flexible server systems, 2005), which loses no capacity: the sum of both would send it where it takes long,
        once the queues of its fast backends are long.
        """
        seconds = self._work.seconds
        trust = np.broadcast_to(self._work.trust, self._shape)
        log_s = np.log(seconds)
        self._affinity.learn(log_s - log_s.mean(axis=1, keepdims=True), self._traffic.mix, trust, TELLING * elapsed_s)
        self._target = split(seconds, self._traffic.mix, self._target)
        self._weight = step(self._weight, self._target, self._floor, inf)
        cost_s = seconds * self._work.each_s
        cost_s *= scale.latency_s / scale.in_flight / cost_s.mean()
        base_s = cost_s + self._error_penalty_s * error_rate
        return Claims(self._evened(usual, base_s, cost_s), self._explore, base_s, cost_s, error_rate)

    @property
    def _explore(self) -> Matrix:
        return np.broadcast_to(self._debts.chances, self._shape)

    def _evened(self, usual: Matrix, base_s: Matrix, slope_s: Matrix) -> Matrix:
        """The weights; for routers that do not see what others send, so that they even out what has piled up."""
        if not self._apart or self._in_flight is None:
            return self._weight
        rates = self._traffic.by_class / MEMORY_S
        coming = float(rates.sum()) * HORIZON_S
        if coming < FEW * len(self._backends):
            return fill(base_s, slope_s, self._in_flight, max(coming, 1.0))
        return relieve(self._weight, self._in_flight, usual, rates, HORIZON_S)

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
        queue = np.clip(1.0 - np.nan_to_num(idle) / usual, 0.0, MOST_QUEUE)
        pool = pooled(usual, evidence, scale.latency_s)
        claim = tempered(usual, evidence, LATENCY_PRIOR, pool * np.exp(self._affinity.log_ratio))
        trust = evidence / (evidence + LATENCY_PRIOR)
        self._affinity.learn(np.log(claim / pool), self._traffic.mix, trust, elapsed_s)
        return claim, tempered(queue, evidence, LATENCY_PRIOR, pooled(queue, evidence, LEAST_QUEUE))

    def _error_claims(self) -> Matrix:
        rate, evidence = np.empty(self._shape), np.empty(self._shape)
        for at, backend in enumerate(self._backends):
            rate[:, at] = backend.error_rates
            evidence[:, at] = backend.error_evidence.sum()
        return tempered(rate, evidence, ERROR_PRIOR, pooled(rate, evidence, 0.0))
