"""How many requests are under way, and Little's law: that, as an average over time, is rate times mean latency.

The law holds for every run whatever the policy, failures included, if no request is lost or counted twice and if all
latencies are what the times of arrivals and departures say: an account that has to balance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.result import Run, latency_s

Floats = npt.NDArray[np.float64]

LONGER: Final = 10
"""Requests that a backend's queue has to grow by to be called growing."""


@dataclass(frozen=True, slots=True)
class Little:
    """Both sides of Little's law, from the first arrival to the last departure.

    Attributes:
        in_flight: requests under way, averaged over time.
        rate_times_latency: requests a second, times their mean latency in seconds.
    """

    in_flight: float
    rate_times_latency: float


def little(run: Run) -> Little:
    """Both sides for all of a run, the warm-up included."""
    ended = run.log[run.log["last"] == 1]
    return little_of(ended["arrived_s"], latency_s(ended))


def little_of(arrived_s: Floats, latency_s: Floats) -> Little:
    """Both sides for requests.

    The left side knows only how many have come and gone by each moment, not which left when.

    Args:
        arrived_s: ``[requests]``, in any order.
        latency_s: ``[requests]``; finite.
    """
    if not len(arrived_s):
        return Little(0.0, 0.0)
    departed_s = arrived_s + latency_s
    moments_s = np.concatenate((arrived_s, departed_s))
    order = np.argsort(moments_s, kind="stable")
    under_way = np.cumsum(np.where(order < len(arrived_s), 1, -1))
    moments_s = moments_s[order]
    over_s = float(moments_s[-1] - moments_s[0])
    if over_s <= 0.0:
        return Little(0.0, 0.0)
    average = float(under_way[:-1] @ np.diff(moments_s)) / over_s
    return Little(average, len(arrived_s) / over_s * float(latency_s.mean()))


def unended(run: Run) -> int:
    """How many requests have no end, or more than one; 0 in any run that is sound."""
    numbers = run.log["request"].astype(np.int64)
    if not len(numbers):
        return 0
    ends = np.bincount(numbers[run.log["last"] == 1], minlength=int(numbers.max()) + 1)
    return int((ends != 1).sum())


def averages(arrived_s: Floats, latency_s: Floats, edges_s: Sequence[float]) -> list[float]:
    """Requests under way, averaged over each of several spans of time.

    Args:
        arrived_s: ``[requests]``.
        latency_s: ``[requests]``.
        edges_s: between which the spans lie; ascending.
    """
    departed_s = arrived_s + latency_s
    found = []
    for begins_s, ends_s in pairwise(edges_s):
        within_s = np.minimum(departed_s, ends_s) - np.maximum(arrived_s, begins_s)
        found.append(float(np.maximum(within_s, 0.0).sum()) / (ends_s - begins_s))
    return found


def grows(quarters: Sequence[float], backends: int) -> bool:
    """Whether queues grow as long as requests come, as they do where more comes than is served.

    Args:
        quarters: requests under way in each quarter of a run.
        backends: how many there are.

    Returns:
        Whether each quarter has more than the one before, the last a quarter more than the first at least, and the
        difference is more than `LONGER` requests a backend.
    """
    rises = all(before < after for before, after in pairwise(quarters))
    return rises and quarters[-1] >= 1.25 * quarters[0] and quarters[-1] - quarters[0] > LONGER * backends
