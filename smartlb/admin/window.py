"""What happened in the last seconds, for many backends at once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.admin.histogram import Counts, Floats

_FINEST_S = 1e-4
_STEP = 1.05
_BINS = 300
"""From 0.1 ms, each bin is 5 % wider than the one before: 300 reach beyond 200 s."""


class SlidingWindow:
    """What happened in the last `seconds`, one row a backend, in slots that are emptied one after another.

    The present slot is part of the window, so that it covers between `seconds` less one slot and `seconds`.

    Args:
        backends: how many rows.
        seconds: length of the window.
        slots: parts of the window.
    """

    def __init__(self, backends: int, seconds: float = 5.0, slots: int = 10) -> None:
        self._slot_s = seconds / slots
        self._slots = slots
        self._present = 0
        self._requests: Counts = np.zeros((slots, backends), dtype=np.int64)
        self._failures: Counts = np.zeros((slots, backends), dtype=np.int64)
        self._latency = np.zeros((slots, backends, _BINS), dtype=np.uint32)

    def add(
        self,
        backend: npt.NDArray[Any],
        failed: npt.NDArray[np.bool_],
        total_s: npt.NDArray[Any],
        now_s: float,
    ) -> None:
        """Count requests that are known of since `now_s`, which never goes back."""
        slot = self._advance(now_s)
        np.add.at(self._requests[slot], backend, 1)
        np.add.at(self._failures[slot], backend[failed], 1)
        with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity, which belongs to the first bin
            steps = np.log(np.fmax(total_s.astype(np.float64), 0.0) / _FINEST_S) / np.log(_STEP)
        np.add.at(self._latency[slot], (backend, np.clip(steps, 0, _BINS - 1).astype(np.intp)), 1)

    def forget(self, backend: int) -> None:
        """Begin a row anew."""
        self._requests[:, backend] = self._failures[:, backend] = 0
        self._latency[:, backend] = 0

    def take_over(self, earlier: "SlidingWindow", old: npt.NDArray[Any], new: npt.NDArray[Any]) -> None:
        """Begin with the rows `old` of a window of the same length as the rows `new` of this one."""
        self._requests[:, new] = earlier._requests[:, old]
        self._failures[:, new] = earlier._failures[:, old]
        self._latency[:, new] = earlier._latency[:, old]
        self._present = earlier._present

    def counts(self, now_s: float) -> tuple[Counts, Counts]:
        """Requests and failures of each backend."""
        self._advance(now_s)
        return self._requests.sum(axis=0), self._failures.sum(axis=0)

    def quantile_s(self, quantile: float, now_s: float) -> Floats:
        """Each backend's latency at `quantile`, to 2.5 %; NaN without requests."""
        self._advance(now_s)
        reached = self._latency.sum(axis=0, dtype=np.int64).cumsum(axis=1)
        total = reached[:, -1]
        rank = np.maximum(np.ceil(quantile * total), 1)
        at = (reached >= rank[:, None]).argmax(axis=1)
        return np.where(total > 0, _FINEST_S * _STEP ** (at + 0.5), np.nan)

    def _advance(self, now_s: float) -> int:
        """Empty the slots whose time is over; returns the present one."""
        present = int(now_s / self._slot_s)
        for passed in range(max(self._present + 1, present - self._slots + 1), present + 1):
            slot = passed % self._slots
            self._requests[slot] = self._failures[slot] = 0
            self._latency[slot] = 0
        self._present = max(self._present, present)
        return self._present % self._slots
