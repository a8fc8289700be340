"""Telemetry records added up: counters since the start, latency histograms, and the last seconds."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.admin.histogram import Counts, Histogram
from smartlb.admin.request_counts import RequestCounts
from smartlb.admin.window import SlidingWindow
from smartlb.config.numbering import GONE, Numbering, Renumbering
from smartlb.core.outcome import Outcome
from smartlb.core.record import Records, failures
from smartlb.learning.cells import DropReason, Latency, sift


@dataclass(frozen=True, slots=True)
class BackendWindow:
    """The last seconds of one backend.

    Attributes:
        requests: that ended.
        failures: those of them that failed by the backend's doing.
        share: of the requests of the backend's pool that reached a backend; 0.0 when there were none.
        p50_s: median latency from dispatch to the end, None without requests.
        p99_s: likewise.
    """

    requests: int
    failures: int
    share: float
    p50_s: float | None
    p99_s: float | None


class Traffic:
    """Sums over all records so far.

    A record is an attempt: a request whose first backend could not be reached counts there and at the next.

    Args:
        numbering: what the records' numbers mean.
        latency: which one the learner learns.

    Attributes:
        requests: by route, backend and class of status.
        outcomes: int64 ``[Outcome]``.
        failures: int64 ``[backends]``; see `smartlb.core.outcome.failed`.
        request_bytes: int64 ``[backends + 1]``; the last stands for none.
        response_bytes: likewise.
        first_byte_s: latency from dispatch to the first byte of the response, by backend and request class.
        total_s: latency from dispatch to the end, likewise.
        dropped: records that the learner leaves out, by reason.
        invalid: records that no worker can have meant, with an outcome or a class that there is not; they are in no
            other sum.
    """

    def __init__(self, numbering: Numbering, latency: Latency = "first_byte") -> None:
        self._pools = list(numbering.pools.values())
        self._backends = backends = len(numbering.backends)
        self._classes = classes = len(numbering.classes)
        self._latency: Latency = latency
        self.requests = RequestCounts(len(numbering.routes), backends)
        self.outcomes: Counts = np.zeros(len(Outcome), dtype=np.int64)
        self.failures: Counts = np.zeros(backends, dtype=np.int64)
        self.request_bytes: Counts = np.zeros(backends + 1, dtype=np.int64)
        self.response_bytes: Counts = np.zeros(backends + 1, dtype=np.int64)
        self.first_byte_s = Histogram(backends, classes)
        self.total_s = Histogram(backends, classes)
        self.dropped: Counter[DropReason] = Counter()
        self.invalid = 0
        self._window = SlidingWindow(backends)

    def add(self, records: Records, now_s: float) -> None:
        """Add `records`, which are known of since `now_s` (monotonic)."""
        records = self._valid(records)
        backend = np.minimum(records["backend"], self._backends)
        self.requests.add(records["route"], backend, records["status"])
        np.add.at(self.outcomes, records["outcome"], 1)
        np.add.at(self.request_bytes, backend, records["request_bytes"].astype(np.int64))
        np.add.at(self.response_bytes, backend, records["response_bytes"].astype(np.int64))
        _, dropped = sift(records, self._backends, self._classes, self._latency)
        self.dropped += dropped
        self._add_reached(records[backend < self._backends], now_s)

    def add_outcomes(self, records: Records) -> None:
        """Add what is counted of requests at backends that are gone: how they ended."""
        np.add.at(self.outcomes, self._valid(records)["outcome"], 1)

    def _valid(self, records: Records) -> Records:
        valid = (records["outcome"] < len(Outcome)) & (records["request_class"] < self._classes)
        self.invalid += len(records) - int(valid.sum())
        return records[valid]

    def _add_reached(self, records: Records, now_s: float) -> None:
        backend: npt.NDArray[np.intp] = records["backend"].astype(np.intp)
        failed = failures(records)
        np.add.at(self.failures, backend[failed], 1)
        request_class = records["request_class"]
        self.first_byte_s.add(backend, request_class, records["first_byte_s"])
        self.total_s.add(backend, request_class, records["total_s"])
        self._window.add(backend, failed, records["total_s"], now_s)

    def take_over(self, earlier: "Traffic", renumbering: Renumbering) -> None:
        """Go on counting from what was counted under other numbers; what is gone, by name, is left out."""
        backends, classes = _pairs(renumbering.backends), _pairs(renumbering.classes)
        backends_and_none = _with_none(backends, earlier._backends, self._backends)
        self.requests.take_over(earlier.requests, renumbering.routes, renumbering.backends)
        _copy(earlier.failures, self.failures, backends)
        _copy(earlier.request_bytes, self.request_bytes, backends_and_none)
        _copy(earlier.response_bytes, self.response_bytes, backends_and_none)
        for old, new in ((earlier.first_byte_s, self.first_byte_s), (earlier.total_s, self.total_s)):
            _copy(old.counts, new.counts, backends, classes)
            _copy(old.sums, new.sums, backends, classes)
        self.outcomes[:] = earlier.outcomes
        self.dropped = earlier.dropped.copy()
        self.invalid = earlier.invalid
        self._window.take_over(earlier._window, *backends)

    def forget(self, backend: int) -> None:
        """Another backend has this number now, and begins at zero."""
        self.requests.forget(backend)
        self.failures[backend] = self.request_bytes[backend] = self.response_bytes[backend] = 0
        for histogram in (self.first_byte_s, self.total_s):
            histogram.counts[backend] = 0
            histogram.sums[backend] = 0.0
        self._window.forget(backend)

    def by_backend(self) -> Counts:
        """Requests that reached each backend, int64 ``[backends]``."""
        return self.requests.by_backend()

    def window(self, now_s: float) -> list[BackendWindow]:
        """The last five seconds of every backend."""
        requests, failed = self._window.counts(now_s)
        p50_s, p99_s = self._window.quantile_s(0.5, now_s), self._window.quantile_s(0.99, now_s)
        share = np.zeros(self._backends)
        for members in self._pools:
            of_pool = requests[members.start : members.stop]
            share[members.start : members.stop] = of_pool / max(1, of_pool.sum())
        return [
            BackendWindow(
                requests=count,
                failures=int(failed[index]),
                share=float(share[index]),
                p50_s=float(p50_s[index]) if count else None,
                p99_s=float(p99_s[index]) if count else None,
            )
            for index, count in enumerate(requests.tolist())
        ]


_Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Old numbers, and the new ones of the same things."""


def _pairs(places: npt.NDArray[np.int64]) -> _Pairs:
    kept = np.flatnonzero(places != GONE)
    return kept, places[kept]


def _with_none(pairs: _Pairs, old_none: int, new_none: int) -> _Pairs:
    return np.append(pairs[0], old_none), np.append(pairs[1], new_none)


def _copy(source: npt.NDArray[Any], target: npt.NDArray[Any], *pairs: _Pairs) -> None:
    """Copy what the pairs name, one pair of numbers for each of the first axes."""
    target[np.ix_(*(new for _, new in pairs))] = source[np.ix_(*(old for old, _ in pairs))]
