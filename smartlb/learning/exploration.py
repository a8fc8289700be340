"""Which backends are owed a request, so that none keeps a bad name for ever.

What a model knows is forgotten, and a backend that was slow is soon tried again. One whose latest requests all failed
is not: a router counts its failures in a row until one succeeds. Such a backend is therefore owed a small share of the
traffic; while it has had less, requests are sent there by chance, about one a tick and backend.
"""

import numpy as np

from smartlb.learning.cells import Matrix
from smartlb.learning.seats import Kept, seated

SHARE = 1.5
"""What a backend is owed, in exploration floors of its fair share."""

MOST = 1.0
"""Debts and credits end here, so that neither long silence nor a flood has a long echo."""

MOST_EXPLORED = 0.1
"""Largest share of the requests that is sent to learn."""


class Debts:
    """What is owed to a pool's backends.

    Args:
        backends: how many the pool has.
        floor: the share of a fair share that every backend keeps.
    """

    def __init__(self, backends: int, floor: float) -> None:
        self._floor = floor
        self._rate = SHARE * floor / backends
        self._owed = np.zeros(backends)
        self._failing = np.zeros(backends, dtype=bool)
        self._silent = np.zeros(backends, dtype=bool)
        self._requests = 0.0

    def reseat(self, kept: Kept) -> None:
        """The pool has other backends; nothing is owed to those that are new."""
        self._rate = SHARE * self._floor / len(kept)
        self._owed = seated(self._owed, kept)
        self._failing, self._silent = seated(self._failing, kept), seated(self._silent, kept)

    def settle(self, requests: Matrix, failures: Matrix, in_flight: Matrix | None = None) -> None:
        """Take in a tick: all requests raise the debts, a backend's own pay it.

        Args:
            requests: ``[backends]``; how many ended.
            failures: ``[backends]``; how many of them failed.
            in_flight: ``[backends]``; requests in flight now, where known. A backend that has some of which none ends
                is sent no more: it has what will tell of it.
        """
        self._requests = float(requests.sum())
        self._owed = np.clip(self._owed + self._rate * self._requests - requests, -MOST, MOST)
        self._failing = np.where(requests > 0.0, failures >= requests, self._failing)
        waiting = np.zeros_like(requests) if in_flight is None else in_flight
        self._silent = (requests == 0.0) & (waiting > 0.0)

    @property
    def chances(self) -> Matrix:
        """``[backends]``: probability that a request is sent somewhere because that is owed one.

        One request a tick and debt is to be expected, if as many come as in the last tick.
        """
        due = self._failing & ~self._silent & (self._owed > 0.0)
        most = MOST_EXPLORED / max(int(due.sum()), 1)
        return np.where(due, min(most, 1.0 / max(self._requests, 1.0)), 0.0)
