"""Counts of requests by route, backend and class of status, kept only for the pairs of route and backend that occur."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smartlb.admin.histogram import Counts

STATUS_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx", "other")
"""``none`` is for attempts without an answer: the client went away, or no connection could be made."""

_FIRST_ROWS = 16


class RequestCount(NamedTuple):
    """How many requests there were of one kind.

    Attributes:
        route: its number; one more than the last stands for none.
        backend: likewise.
        status_class: index into `STATUS_CLASSES`.
        requests: how many; never 0.
    """

    route: int
    backend: int
    status_class: int
    requests: int


class RequestCounts:
    """A sparse array ``[routes + 1, backends + 1, STATUS_CLASSES]``: most routes have the backends of one pool only.

    Args:
        routes: how many there are.
        backends: likewise.
    """

    def __init__(self, routes: int, backends: int) -> None:
        self._routes = routes
        self._backends = backends
        self._rows: dict[int, int] = {}  # of a pair, as one number
        self._counts: Counts = np.zeros((_FIRST_ROWS, len(STATUS_CLASSES)), dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes that the counts take, without the index of their rows."""
        return self._counts.nbytes

    def add(self, route: npt.NDArray[Any], backend: npt.NDArray[Any], status: npt.NDArray[Any]) -> None:
        """Count requests; the arrays go together.

        Args:
            route: number of each one's route; what is beyond the last is none.
            backend: likewise.
            status: of HTTP; 0 for none.
        """
        pairs = np.minimum(route, self._routes).astype(np.int64) * (self._backends + 1)
        pairs += np.minimum(backend, self._backends).astype(np.int64)
        seen, which = np.unique(pairs, return_inverse=True)
        rows = np.fromiter(map(self._row, seen.tolist()), np.intp, len(seen))
        np.add.at(self._counts, (rows[which], np.minimum(status // 100, len(STATUS_CLASSES) - 1)), 1)

    def forget(self, backend: int) -> None:
        """Begin at zero for one backend."""
        for pair, row in self._rows.items():
            if pair % (self._backends + 1) == backend:
                self._counts[row] = 0

    def take_over(
        self, earlier: "RequestCounts", routes: npt.NDArray[np.int64], backends: npt.NDArray[np.int64]
    ) -> None:
        """Go on from what was counted under other numbers.

        Args:
            earlier: with the other numbers.
            routes: the new number of each of its routes; negative where there is none now.
            backends: likewise.
        """
        new_routes = [*routes.tolist(), self._routes]
        new_backends = [*backends.tolist(), self._backends]
        for pair, row in earlier._rows.items():
            old_route, old_backend = divmod(pair, earlier._backends + 1)
            route, backend = new_routes[old_route], new_backends[old_backend]
            if route >= 0 and backend >= 0:
                own = self._row(route * (self._backends + 1) + backend)
                self._counts[own] = earlier._counts[row]

    def by_backend(self) -> Counts:
        """Requests that reached each backend, int64 ``[backends]``."""
        totals = np.zeros(self._backends + 1, dtype=np.int64)
        pairs = np.fromiter(self._rows, np.int64, len(self._rows))
        np.add.at(totals, pairs % (self._backends + 1), self._counts[: len(pairs)].sum(axis=1))
        return totals[:-1]

    def __iter__(self) -> Iterator[RequestCount]:
        """What occurred, by route, backend and class of status."""
        for pair in sorted(self._rows):
            route, backend = divmod(pair, self._backends + 1)
            for status_class, count in enumerate(self._counts[self._rows[pair]].tolist()):
                if count:
                    yield RequestCount(route, backend, status_class, count)

    def _row(self, pair: int) -> int:
        row = self._rows.get(pair)
        if row is None:
            row = self._rows[pair] = len(self._rows)
            if row == len(self._counts):
                self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        return row
