"""Telemetry condensed: requests alike in backend, class and in-flight count become one weighted example.

Whatever the request rate, a tick then teaches a bounded number of examples: at most `len(_EDGES)` a backend and class.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from smartlb.core.outcome import FIRST_BACKEND_FAULT, SWITCHING_PROTOCOLS, Outcome
from smartlb.core.record import NO_BACKEND, Records, failures

Latency = Literal["first_byte", "total"]

DropReason = Literal["unknown", "latency", "in_flight"]
"""Why a record teaches nothing: no such backend or class, or an impossible latency or in-flight count."""

DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason)

Matrix = npt.NDArray[np.float64]

_EDGES = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
"""Where each bucket of in-flight counts begins: fine where a count more matters, coarse where it does not."""

_DAY_S = 86_400.0
_ABSURD_IN_FLIGHT = 1_000_000


class Cell(NamedTuple):
    """Requests that were alike, as their means.

    Attributes:
        request_class: of all of them.
        in_flight: mean at dispatch.
        latency_s: mean.
        requests: how many.
    """

    request_class: int
    in_flight: float
    latency_s: float
    requests: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch of records says.

    Attributes:
        requests: ``[classes, backends]``; requests that say something of their backend.
        failures: ``[classes, backends]``; those of them that failed by the backend's doing.
        cells: latencies of the requests that succeeded, by backend.
    """

    requests: Matrix
    failures: Matrix
    cells: list[list[Cell]]


def sift(records: Records, backends: int, classes: int, latency: Latency) -> tuple[Records, Counter[DropReason]]:
    """The records that say something of their backend, and how many others should have, by the reason they do not.

    What clients or the router itself caused need not, and is not counted.

    Args:
        records: of `smartlb.core.record.RECORD`.
        backends: how many there are; records of others may be those of an earlier configuration, say.
        classes: how many request classes there are; likewise.
        latency: which of a record's latencies counts.
    """
    outcome: Any = records["outcome"]
    # A route may complete a request without a backend.
    completed = (outcome == Outcome.COMPLETE) & (records["backend"] != NO_BACKEND)
    # A first attempt that was overtaken by its hedge would have taken longer yet. Without it, a backend whose slow
    # answers are overtaken would look as fast as its quick ones. Of a hedge that lost, nothing is known.
    overtaken = (outcome == Outcome.HEDGE_LOST) & (records["attempt"] == 1)
    records = records[completed | overtaken | (outcome >= FIRST_BACKEND_FAULT)]
    known = (records["backend"] < backends) & (records["request_class"] < classes)
    taken_s = _taken_s(records, latency)
    # Written so that NaN is impossible too. A failure teaches no latency, so it needs none.
    possible = (taken_s >= 0) & (taken_s <= _DAY_S) | failures(records)
    countable = records["in_flight"] < _ABSURD_IN_FLIGHT
    dropped: Counter[DropReason] = Counter(
        {
            "unknown": int((~known).sum()),
            "latency": int((known & ~possible).sum()),
            "in_flight": int((known & possible & ~countable).sum()),
        }
    )
    return records[known & possible & countable], dropped


def tally(records: Records, classes: int, longest_s: Matrix, latency: Latency) -> Tally:
    """Condense `records`.

    Args:
        records: as `sift` leaves them.
        classes: how many request classes there are.
        longest_s: ``[backends]``; longer latencies count as this long, so that a single freak does not move a mean
            by much.
        latency: which of a record's latencies counts.
    """
    backends = len(longest_s)
    succeeded = ~failures(records)
    taken_s = _taken_s(records, latency)
    in_flight = records["in_flight"].astype(np.float64)
    backend = records["backend"].astype(np.int64)
    pair = records["request_class"].astype(np.int64) * backends + backend
    size = classes * backends
    return Tally(
        requests=np.bincount(pair, minlength=size).astype(np.float64).reshape(classes, backends),
        failures=np.bincount(pair[~succeeded], minlength=size).astype(np.float64).reshape(classes, backends),
        cells=_cells(
            pair[succeeded],
            in_flight[succeeded],
            np.minimum(taken_s[succeeded], longest_s[backend[succeeded]]),
            backends,
        ),
    )


def _taken_s(records: Records, latency: Latency) -> Matrix:
    first_byte_s = np.asarray(records["first_byte_s"], np.float64)
    if latency == "first_byte":
        return np.where(records["outcome"] == Outcome.HEDGE_LOST, records["total_s"], first_byte_s)
    # How long a tunnel lasts is its client's choice.
    return np.where(records["status"] == SWITCHING_PROTOCOLS, first_byte_s, records["total_s"])


def _cells(pair: npt.NDArray[np.int64], in_flight: Matrix, latency_s: Matrix, backends: int) -> list[list[Cell]]:
    bucket = np.searchsorted(_EDGES, in_flight, side="right") - 1
    keys, cell = np.unique(pair * len(_EDGES) + bucket, return_inverse=True)
    count = np.bincount(cell, minlength=len(keys))
    cells: list[list[Cell]] = [[] for _ in range(backends)]
    for key, requests, mean_in_flight, mean_s in zip(
        keys.tolist(),
        count.tolist(),
        (np.bincount(cell, in_flight, len(keys)) / count).tolist(),
        (np.bincount(cell, latency_s, len(keys)) / count).tolist(),
        strict=True,
    ):
        request_class, backend = divmod(key // len(_EDGES), backends)
        cells[backend].append(Cell(request_class, mean_in_flight, mean_s, float(requests)))
    return cells
