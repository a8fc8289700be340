"""Telemetry condensed: requests alike in backend, class and in-flight count become one weighted example.

Whatever the request rate, a tick then teaches a bounded number of examples: at most `len(_EDGES)` a backend and class.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from smartlb.core.outcome import FIRST_BACKEND_FAULT, Outcome
from smartlb.core.telemetry import Records, failures

Latency = Literal["first_byte", "total"]
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
        dropped: records with an impossible latency or in-flight count.
    """

    requests: Matrix
    failures: Matrix
    cells: list[list[Cell]]
    dropped: int


def tally(records: Records, classes: int, longest_s: Matrix, latency: Latency) -> Tally:
    """Condense `records`.

    What clients or the router itself caused says nothing of a backend and is left out, as are records whose
    backend or class is unknown here (those of an earlier configuration, say).

    Args:
        records: of `smartlb.core.telemetry.RECORD`.
        classes: how many request classes there are.
        longest_s: ``[backends]``; longer latencies count as this long, so that a single freak does not move a mean
            by much.
        latency: which of a record's latencies counts.
    """
    backends = len(longest_s)
    outcome: Any = records["outcome"]
    known = (records["backend"] < backends) & (records["request_class"] < classes)
    records = records[known & ((outcome == Outcome.COMPLETE) | (outcome >= FIRST_BACKEND_FAULT))]
    failed = failures(records)
    taken_s = records["first_byte_s" if latency == "first_byte" else "total_s"].astype(np.float64)
    in_flight = records["in_flight"].astype(np.float64)
    # Written so that NaN is impossible too. A failure teaches no latency, so it needs none.
    possible = ((taken_s >= 0) & (taken_s <= _DAY_S) | failed) & (in_flight < _ABSURD_IN_FLIGHT)
    dropped = len(records) - int(possible.sum())
    records, failed = records[possible], failed[possible]
    taken_s, in_flight = taken_s[possible], in_flight[possible]

    backend = records["backend"].astype(np.int64)
    pair = records["request_class"].astype(np.int64) * backends + backend
    size = classes * backends
    succeeded = ~failed
    return Tally(
        requests=np.bincount(pair, minlength=size).astype(np.float64).reshape(classes, backends),
        failures=np.bincount(pair[failed], minlength=size).astype(np.float64).reshape(classes, backends),
        cells=_cells(
            pair[succeeded],
            in_flight[succeeded],
            np.minimum(taken_s[succeeded], longest_s[backend[succeeded]]),
            backends,
        ),
        dropped=dropped,
    )


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
