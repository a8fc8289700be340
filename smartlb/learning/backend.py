"""One backend's models, and the detectors that say when they no longer hold."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, sqrt

from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.drift import error_surprise
from smartlb.learning.generations import Generation, Generations
from smartlb.learning.model import DriftDetector, ErrorModel, LatencyModel, features
from smartlb.learning.traffic import Scale

RECENT_S = 0.6
"""How far back a backend that changed is learned anew, about what it takes to notice a change; twice the usual
latency where that is longer."""

EVIDENCE_TO_DOUBT = 3.0
"""Requests of a class that a model must have seen before its surprise says anything of the backend."""

RECALLED_EVIDENCE = 4.0
"""As how many requests of a class the latencies of a checkpoint count at most: they are to set out from, and what
happens now is to win within seconds."""

RECALLED_LOADS = (0.0, 1.0, 2.0)
"""At which loads, as multiples of the pool's usual one, a checkpoint says what a model claims."""

RECALLED_OUTCOMES = 4.0
"""As how many requests of a class its failures count at most."""

LEAST_LATENCY = 0.05
"""Least latency that is handed on in a checkpoint, as a share of the pool's usual one."""


class _Latency:
    """A latency model in seconds."""

    def __init__(self, model: LatencyModel, scale: Scale) -> None:
        self._model = model
        self._scale = scale

    def learn(self, cell: Cell) -> None:
        scale = self._scale
        x = features(cell.in_flight / scale.in_flight, cell.request_class)
        self._model.learn_one(x, cell.latency_s / scale.latency_s, _worth(cell))

    def predict_s(self, in_flight: float, request_class: int) -> float:
        scale = self._scale
        x = features(in_flight / scale.in_flight, request_class)
        return self._model.predict_one(x) * scale.latency_s


@dataclass(frozen=True, slots=True)
class _Tick:
    time_s: float
    cells: list[Cell]
    outcomes: list[tuple[int, float, float]]


class BackendLearner:
    """What is known of one backend.

    Args:
        classes: how many request classes there are.
        latency_model: makes a latency model.
        error_model: makes an error model.
        drift_detector: makes a drift detector.
    """

    def __init__(
        self,
        classes: int,
        latency_model: Callable[[], LatencyModel],
        error_model: Callable[[], ErrorModel],
        drift_detector: Callable[[], DriftDetector],
    ) -> None:
        self._scale = Scale()
        self._drift_detector = drift_detector
        self._latency = Generations(lambda: _Latency(latency_model(), self._scale), classes)
        self._errors = Generations(error_model, classes)
        self._error_rates: list[float] | None = None  # what the model says, until it learns more
        self._time_s = self._load = 0.0
        self._recent: deque[_Tick] = deque()
        self._forgotten: list[Cell] = []
        self._error_detector = drift_detector()

    @property
    def latency_evidence(self) -> Matrix:
        """``[classes]``: from how many requests latency is claimed."""
        return self._latency.elder.evidence

    @property
    def error_evidence(self) -> Matrix:
        """``[classes]``: from how many requests failures are claimed."""
        return self._errors.elder.evidence

    def latency_s(self, in_flight: float, request_class: int) -> float:
        """Predicted latency; NaN where the model has seen none of the class, or has gone astray."""
        if not self._latency.elder.evidence[request_class]:
            return float("nan")
        predicted_s = self._latency.elder.model.predict_s(in_flight, request_class)
        if not isfinite(predicted_s):
            self._latency.renew()
            return float("nan")
        return predicted_s

    @property
    def error_rates(self) -> list[float]:
        """``[classes]``: predicted shares of failures; 0 where nothing is known."""
        if self._error_rates is None:
            elder = self._errors.elder
            known = elder.evidence.any()
            self._error_rates = [
                _error_rate(elder.model, request_class) if known else 0.0
                for request_class in range(len(elder.evidence))
            ]
        return self._error_rates

    def update(
        self,
        cells: list[Cell],
        requests: list[float],
        failures: list[float],
        time_s: float,
        scale: Scale,
        load: float | None = None,
    ) -> bool:
        """Learn from a tick.

        Args:
            cells: latencies of the requests that succeeded.
            requests: per class.
            failures: per class, how many of the requests failed.
            time_s: of the tick; never decreasing.
            scale: for models made from now on.
            load: mean in flight since the last tick, where known.

        Returns:
            Whether the backend has changed and is learned anew.
        """
        self._scale = scale
        outcomes = [
            (request_class, count, failed)
            for request_class, (count, failed) in enumerate(zip(requests, failures, strict=True))
            if count
        ]
        tick = _Tick(time_s, cells, outcomes)
        self._time_s = time_s
        self._load = load or 0.0
        changed = self._changed(tick)
        if outcomes:
            self._recent.append(tick)
        recent_s = max(RECENT_S, 2.0 * scale.latency_s)
        while self._recent and self._recent[0].time_s < time_s - recent_s:
            self._recent.popleft()
        if changed:
            self.forget()
        for past in self._recent if changed else (tick,):
            self._learn(past)
        return changed

    def rescale(self, scale: Scale) -> None:
        """Make the latency models anew at a scale, while they know nothing."""
        self._scale = scale
        self._latency.renew()

    def forget(self) -> None:
        """Begin from nothing."""
        self._latency.renew()
        self._errors.renew()
        self._error_rates = None
        self._error_detector = self._drift_detector()

    def examples(self) -> list[Cell]:
        """What the latency model claims, or did before it forgot, as examples that would teach it the same."""
        return self._examples() or self._forgotten

    def _examples(self) -> list[Cell]:
        return [
            Cell(request_class, in_flight, expected_s, seen / len(RECALLED_LOADS) * sqrt(1.0 + in_flight))
            for request_class, seen in enumerate(self.latency_evidence.tolist())
            for in_flight in (load * self._scale.in_flight for load in RECALLED_LOADS)
            if isfinite(expected_s := self._expected_s(in_flight, request_class))
        ]

    def outcomes(self) -> list[tuple[int, float, float]]:
        """What the error model claims: class, requests and failures."""
        return [
            (request_class, seen, seen * self.error_rates[request_class])
            for request_class, seen in enumerate(self.error_evidence.tolist())
            if seen
        ]

    def recall(self, examples: list[Cell], outcomes: list[tuple[int, float, float]], scale: Scale) -> None:
        """Begin anew from what was claimed before, as `examples` and `outcomes` give it."""
        self.rescale(scale)
        self.forget()
        worth: defaultdict[int, float] = defaultdict(float)
        for cell in examples:
            worth[cell.request_class] += _worth(cell)
        cells = [
            cell._replace(requests=cell.requests * min(1.0, RECALLED_EVIDENCE / worth[cell.request_class]))
            for cell in examples
            if worth[cell.request_class]
        ]
        capped = [
            (request_class, min(count, RECALLED_OUTCOMES), failed * min(1.0, RECALLED_OUTCOMES / count))
            for request_class, count, failed in outcomes
            if count
        ]
        self._learn(_Tick(self._time_s, cells, capped))

    def turn_latency(self) -> None:
        """Let the younger latency model take over, unless all it knows is that requests do not end."""
        if self._load >= 1.0 and not self._latency.younger.evidence.any():
            return
        self._forgotten = self._examples() or self._forgotten
        self._latency.turn()

    def turn_errors(self) -> None:
        """Let the younger error model take over."""
        self._errors.turn()
        self._error_rates = None

    def _learn(self, tick: _Tick) -> None:
        for latency in (self._latency.elder, self._latency.younger):
            for cell in tick.cells:
                latency.model.learn(cell)
                latency.evidence[cell.request_class] += _worth(cell)
        if tick.outcomes:
            self._error_rates = None
            for errors in (self._errors.elder, self._errors.younger):
                _learn_outcomes(errors, tick.outcomes)

    def _expected_s(self, in_flight: float, request_class: int) -> float:
        """As `latency_s`, but never next to nothing."""
        predicted_s = self.latency_s(in_flight, request_class)
        return max(predicted_s, LEAST_LATENCY * self._scale.latency_s) if isfinite(predicted_s) else predicted_s

    def _changed(self, tick: _Tick) -> bool:
        surprise = self._error_surprise(tick)
        if surprise is None:
            return False
        self._error_detector.update(surprise)
        return self._error_detector.drift_detected

    def _error_surprise(self, tick: _Tick) -> float | None:
        failures = expected = variance = 0.0
        if self._errors.elder.evidence.sum() < EVIDENCE_TO_DOUBT:
            return None
        for request_class, count, failed in tick.outcomes:
            rate = self.error_rates[request_class]
            failures += failed
            expected += rate * count
            variance += rate * (1.0 - rate) * count
        return error_surprise(failures, expected, variance) if tick.outcomes else None


def _error_rate(model: ErrorModel, request_class: int) -> float:
    rate = model.predict_proba_one(features(1.0, request_class)).get(True, 0.0)
    return min(max(rate, 0.0), 1.0) if isfinite(rate) else 0.0


def _worth(cell: Cell) -> float:
    """How many requests at an idle backend say as much: waits add up the luck of all the requests ahead."""
    return cell.requests / sqrt(1.0 + cell.in_flight)


def _learn_outcomes(errors: Generation[ErrorModel], outcomes: list[tuple[int, float, float]]) -> None:
    for request_class, count, failed in outcomes:
        x = features(1.0, request_class)
        if failed:
            errors.model.learn_one(x, True, failed)
        if failed < count:
            errors.model.learn_one(x, False, count - failed)
        errors.evidence[request_class] += count
