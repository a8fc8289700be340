"""The offline yardstick: what models that may look at a log at leisure make of it, beside the online learner.

The learner gets the log's records in the order in which they ended, tick by tick, and predicts each before it is told
of it. It predicts means; its quantiles are that mean times the quantiles of actual over predicted latency among the
latest requests, of all backends. The offline models are refitted for each of several spans on all that came before.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.core.outcome import COMPLETE, Outcome
from smartlb.core.record import NO_BACKEND, RECORD, Records, failures
from smartlb.learning.learner import Learner, LearnerSettings

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEVELS = (0.5, 0.99)
"""The quantiles that are compared."""

SPANS = 5
"""Into how many spans the time-ordered cross-validation divides what it predicts."""

MOST_ROWS = 60_000
"""Of a longer log, the latest are taken."""

LEAST_ROWS = 200
"""Fewer teach nothing that could be compared."""

TICK_S = 0.2
"""Between two updates of the learner."""

RECENT = 2_000
"""From how many requests the online model's quantiles are taken."""

_COLUMNS = ("backend", "request_class", "in_flight", "first_byte_ms", "total_ms", "outcome", "status")


class LogError(ValueError):
    """A log that cannot be used; the message says why and what was expected."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log's attempts, in the order in which they ended.

    Attributes:
        records: of `smartlb.core.record.RECORD`.
        ended_s: ``[records]``; when.
        pools: the index range of each pool's backends.
        backends, classes: names.
    """

    records: Records
    ended_s: Floats
    pools: Sequence[range]
    backends: Sequence[str]
    classes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Score:
    """How a model did.

    Attributes:
        model: its name.
        pinball_p50_ms, pinball_p99_ms: mean pinball loss; less is better.
        below_p50, below_p99: share of latencies at most as long as predicted; 0.5 and 0.99 would be right.
    """

    model: str
    pinball_p50_ms: float
    pinball_p99_ms: float
    below_p50: float
    below_p99: float


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The comparison.

    Attributes:
        rows: requests that were predicted.
        backends, classes: how many there are.
        scores: of the models.
    """

    rows: int
    backends: int
    classes: int
    scores: Sequence[Score]


def read_log(path: Path) -> Log:
    """A log of `smartlb simulate --log` (.parquet or .csv), or the router's access log (JSON lines).

    Raises:
        LogError: it is neither, or has too little in it.
        OSError: it cannot be read.
    """
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".csv":
            frame = pd.read_csv(path)
        else:
            with path.open() as lines:
                frame = pd.DataFrame([json.loads(line) for line in lines if line.strip()])
    except OSError:
        raise
    except Exception as error:  # whatever the parsers of three formats raise
        raise LogError(f"{path}: expected a log of `simulate --log` or an access log; {error}") from None
    return as_log(frame, str(path))


def as_log(frame: Any, source: str) -> Log:
    """A DataFrame's rows as a log.

    Raises:
        LogError: columns are missing, or there are too few rows.
    """
    arrived = next((name for name in ("arrived_s", "arrival_s") if name in frame.columns), None)
    absent = [name for name in (*_COLUMNS, "queued_ms") if name not in frame.columns]
    if arrived is None or absent:
        raise LogError(f"{source}: expected the columns {', '.join(['arrived_s', *_COLUMNS, 'queued_ms'])}")
    frame = frame[frame["backend"].notna() & (frame["backend"] != "")]
    pool = frame["pool"].astype(str) if "pool" in frame.columns else frame["backend"].map(lambda _name: "fleet")
    label = pool + "/" + frame["backend"].astype(str)
    backends = sorted(set(label))
    classes = sorted(set(frame["request_class"].astype(str)))
    number = {name: at for at, name in enumerate(backends)}
    class_number = {name: at for at, name in enumerate(classes)}
    codes = {outcome.label: int(outcome) for outcome in Outcome}
    records = np.zeros(len(frame), RECORD)
    records["arrived_s"] = frame[arrived]
    records["queued_s"] = frame["queued_ms"] / 1e3
    records["first_byte_s"] = frame["first_byte_ms"].astype(float) / 1e3
    records["total_s"] = frame["total_ms"].astype(float) / 1e3
    records["in_flight"] = frame["in_flight"]
    records["backend"] = [number.get(name, NO_BACKEND) for name in label]
    records["request_class"] = [class_number[name] for name in frame["request_class"].astype(str)]
    records["status"] = frame["status"]
    records["outcome"] = [codes.get(name, int(Outcome.INTERNAL)) for name in frame["outcome"]]
    records["attempt"] = 1
    ended_s = records["arrived_s"] + records["queued_s"].astype(np.float64) + records["total_s"]
    order = np.argsort(ended_s, kind="stable")[-MOST_ROWS:]
    found = Log(records[order], ended_s[order], _pools(backends), backends, classes)
    if (rows := int(_predictable(found.records).sum())) < LEAST_ROWS:
        raise LogError(f"{source}: expected at least {LEAST_ROWS} requests that succeeded; found {rows}")
    return found


def _pools(backends: Sequence[str]) -> list[range]:
    names = [name.partition("/")[0] for name in backends]
    firsts = [at for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
    return [range(first, end) for first, end in zip(firsts, [*firsts[1:], len(names)], strict=True)]


def _predictable(records: Records) -> Bools:
    taken: Any = records["first_byte_s"]
    return np.asarray((records["outcome"] == COMPLETE) & ~failures(records) & np.isfinite(taken) & (taken > 0.0))


def compare(log: Log, settings: LearnerSettings | None = None) -> Yardstick:
    """Judge the online learner and the offline models by the same requests."""
    from sklearn.model_selection import TimeSeriesSplit

    usable = _predictable(log.records)
    rows = log.records[usable]
    actual_s = rows["first_byte_s"].astype(np.float64)
    splits = list(TimeSeriesSplit(SPANS).split(actual_s))
    tested = np.concatenate([test for _, test in splits])
    online = _replayed(log, usable, settings or LearnerSettings())
    predicted = {"online, as in the router": online[tested]}
    for name, fit in (("gradient boosting", _boosted), ("linear", _linear)):
        predicted[name] = np.concatenate([fit(rows[train], actual_s[train], rows[test], log) for train, test in splits])
    scores = [_score(name, actual_s[tested], quantiles) for name, quantiles in predicted.items()]
    return Yardstick(len(tested), len(log.backends), len(log.classes), scores)


def _score(name: str, actual_s: Floats, quantiles_s: Floats) -> Score:
    p50, p99 = (pinball(actual_s, quantiles_s[:, at], level) * 1e3 for at, level in enumerate(LEVELS))
    below = [float((actual_s <= quantiles_s[:, at]).mean()) for at in range(len(LEVELS))]
    return Score(name, p50, p99, *below)


def pinball(actual: Floats, predicted: Floats, level: float) -> float:
    """Mean pinball loss of predictions of a quantile."""
    missed = actual - predicted
    return float(np.maximum(level * missed, (level - 1.0) * missed).mean())


def _replayed(log: Log, usable: Bools, settings: LearnerSettings) -> Floats:
    """``[usable, levels]``: what the learner predicts of every request before it is told of it."""
    learner = Learner(log.pools, len(log.classes), settings)
    ratios: deque[float] = deque([1.0], maxlen=RECENT)
    found = np.empty((len(log.records), len(LEVELS)))
    usual_s = float(log.records["first_byte_s"][usable][0])
    first = 0
    tick_s = float(log.ended_s[0])
    while first < len(log.records):
        tick_s = max(tick_s + TICK_S, float(log.ended_s[first]))
        end = int(np.searchsorted(log.ended_s, tick_s, side="right"))
        batch = log.records[first:end]
        factor = np.quantile(np.array(ratios), LEVELS)
        known: dict[tuple[int, int, int], float] = {}
        new: list[float] = []
        for at, (backend, in_flight, request_class, taken_s) in enumerate(
            zip(
                batch["backend"].tolist(),
                batch["in_flight"].tolist(),
                batch["request_class"].tolist(),
                batch["first_byte_s"].tolist(),
                strict=True,
            ),
            start=first,
        ):
            key = backend, in_flight, request_class
            if key not in known:
                mean_s = learner.latency_s(backend, float(in_flight), request_class)
                known[key] = max(mean_s, usual_s / 100.0) if np.isfinite(mean_s) else usual_s
            found[at] = known[key] * factor
            if usable[at]:
                new.append(taken_s / known[key])
        ratios.extend(new)
        if usable[first:end].any():
            usual_s = float(batch["first_byte_s"][usable[first:end]].mean())
        learner.update(batch, tick_s)
        first = end
    return found[usable]


def _features(rows: Records) -> Floats:
    names = ("in_flight", "request_class", "backend")
    return np.column_stack([rows[name].astype(np.float64) for name in names])


def _boosted(train: Records, actual_s: Floats, test: Records, _log: Log) -> Floats:
    """`HistGradientBoostingRegressor` with the quantile loss, backend and class as categories."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    found = []
    # Threads that wait for each other in turns would take far longer than one where cores are shared.
    with threadpool_limits(1):
        for level in LEVELS:
            model: Any = HistGradientBoostingRegressor(
                loss="quantile", quantile=level, categorical_features=[1, 2], random_state=0
            )
            found.append(model.fit(_features(train), actual_s).predict(_features(test)))
    return np.column_stack(found)


def _linear(train: Records, actual_s: Floats, test: Records, log: Log) -> Floats:
    """Least squares with a base by backend and class and a slope by backend, plus the residuals' quantiles."""
    from sklearn.linear_model import Ridge

    size = len(log.backends), len(log.classes)
    known, asked = _one_hot(train, *size), _one_hot(test, *size)
    model: Any = Ridge(alpha=1e-3).fit(known, actual_s)
    residual = np.quantile(actual_s - model.predict(known), LEVELS)
    return np.asarray(np.maximum(model.predict(asked)[:, None] + residual, 0.0))


def _one_hot(rows: Records, backends: int, classes: int) -> Floats:
    backend = np.eye(backends)[rows["backend"]]
    pair = np.eye(backends * classes)[rows["backend"].astype(np.int64) * classes + rows["request_class"]]
    return np.hstack([pair, backend * rows["in_flight"][:, None]])
