"""Requests that are at hand already, such as the rows of a DataFrame or the schedule of a live run."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simulator.streams import Stream
from simulator.workload.chance import Chance
from simulator.workload.demand import ROWS, ClassDemand, Demand
from simulator.workload.popularity import HashKeys
from simulator.workload.request import REQUEST, Requests

if TYPE_CHECKING:
    import pandas as pd


class GivenError(ValueError):
    """Requests that cannot be; the message says which column, and what was expected."""


class Given(Demand):
    """An array of requests.

    Args:
        rows: of `REQUEST`, at least two, ascending in time, none before 0.0; the columns that are drawn by chance are
            not read.
        classes: names, by `request_class`.

    Raises:
        GivenError: a column holds what cannot be.
    """

    count: int
    span_s: float
    rate: float

    def __init__(self, rows: Requests, classes: Sequence[str]) -> None:
        _check(rows, classes)
        self._rows = rows
        self.count = len(rows)
        self.span_s = float(rows["at_s"][-1] - rows["at_s"][0])
        self.rate = (self.count - 1) / self.span_s
        self.source = f"{self.count:,} requests as given"
        of = rows["request_class"]
        counts = np.bincount(of, minlength=len(classes))
        work_s, first_s = (
            np.bincount(of, rows[column], len(classes)) / np.maximum(counts, 1) for column in ("work_s", "first_s")
        )
        share = counts / self.count
        self.classes = tuple(map(ClassDemand, classes, share.tolist(), work_s.tolist(), first_s.tolist()))

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame") -> "Given":
        """Requests from a DataFrame.

        Args:
            frame: with the columns ``at_s`` and ``work_s``, and if need be ``first_s`` (work until the first byte),
                ``request_class``, ``client`` and ``url`` (any text).

        Raises:
            GivenError: a column is missing or holds what cannot be.
        """
        if missing := [name for name in ("at_s", "work_s") if name not in frame]:
            raise GivenError(f"no column {missing[0]}; expected at_s and work_s, both in seconds")
        frame = frame.sort_values("at_s", kind="stable")
        rows = np.zeros(len(frame), REQUEST)
        for column in ("at_s", "work_s"):
            rows[column] = frame[column]
        rows["at_s"] -= rows["at_s"][0] if len(rows) else 0.0
        rows["first_s"] = frame["first_s"] if "first_s" in frame else frame["work_s"]
        names = ["default"]
        if "request_class" in frame:
            codes, found = frame["request_class"].astype(str).factorize()
            rows["request_class"], names = codes, list(found)
        hashes = HashKeys()
        for column in ("client", "url"):
            if column in frame:
                rows[column] = [hashes[str(value)] for value in frame[column]]
        return cls(rows, names)

    def requests(
        self,
        rate: float,
        duration_s: float,
        stream: Stream,
        routers: int = 1,
        rows: int = ROWS,
        unread: frozenset[str] = frozenset(),
    ) -> Iterator[Requests]:
        """The requests, faster or slower; see `Demand.requests`."""
        speedup = rate / self.rate
        chance = Chance(stream, routers, unread)
        end = int(np.searchsorted(self._rows["at_s"] / speedup, duration_s))
        for first in range(0, end, rows):
            chunk = self._rows[first : min(first + rows, end)].copy()
            chunk["at_s"] /= speedup
            chance.fill(chunk)
            yield chunk


def _check(rows: Requests, classes: Sequence[str]) -> None:
    if len(rows) < 2:
        raise GivenError(f"{len(rows)} requests; expected at least two")
    at_s = rows["at_s"]
    if not np.isfinite(at_s).all() or at_s[0] < 0.0 or (np.diff(at_s) < 0.0).any() or not at_s[-1] > at_s[0]:
        raise GivenError("at_s: expected finite times that ascend, apart in time")
    for column in ("work_s", "first_s"):
        wrong = ~((rows[column] > 0.0) & (rows[column] < np.inf))
        if wrong.any():
            at = int(wrong.argmax())
            raise GivenError(f"{column}: row {at} has {rows[column][at]:g}; expected finite work above zero")
    if (rows["first_s"] > rows["work_s"]).any():
        raise GivenError("first_s: expected at most work_s")
    if not ((rows["request_class"] >= 0) & (rows["request_class"] < len(classes))).all():
        raise GivenError(f"request_class: expected numbers from 0 to {len(classes) - 1}")
