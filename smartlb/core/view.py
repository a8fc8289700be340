"""What a policy may look at when it picks a backend."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class PoolView(NamedTuple):
    """One pool, as flat sequences that are indexed by a backend's position in the pool.

    Workers pass `array.array`, of type ``i`` for `eligible` and `in_flight` and ``d`` for the others: compiled policies
    and numpy see them without a copy. `in_flight`, `eligible` and `barred` change in place, as requests come and go and
    backends reach their limits; the rest is replaced, never changed, when it no longer holds. So running sums may
    still have a backend that is full.

    Attributes:
        eligible: positions that may be picked, ascending: healthy, not ejected, not draining, not tried yet.
            Never empty when a policy is called.
        barred: 0.0 where a backend may be picked and infinity where it may not; the same fact as `eligible`,
            for policies that scan.
        in_flight: requests at each backend now, over all workers.
        weight: configured weights, above zero.
        draw: learned weights, one row of `len(weight)` a request class (row `c` starts at `c * len(weight)`),
            as running sums within the row; a backend that was barred when they were made adds nothing.
        explore: probability that a request is sent to a backend to learn of it, whatever it costs there; rows and
            running sums as in `draw`. What a row's last sum lacks to 1 is that it is sent where it costs least.
        base_s: predicted cost in seconds of a request at a backend with nothing in flight; rows as in `draw`.
        slope_s: what each request in flight adds to that cost, in seconds; rows as in `draw`.
        sight: share of the requests in flight at these backends that `in_flight` counts; 1.0 where nobody else sends
            them any.
    """

    eligible: Sequence[int]
    barred: Sequence[float]
    in_flight: Sequence[int]
    weight: Sequence[float]
    draw: Sequence[float]
    explore: Sequence[float]
    base_s: Sequence[float]
    slope_s: Sequence[float]
    sight: float = 1.0


def explore_sums(explore: npt.NDArray[np.float64], eligible: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Probabilities ``[classes, backends]`` as `PoolView.explore` wants them; what is not eligible adds nothing."""
    return np.where(eligible, explore, 0.0).cumsum(axis=1).ravel()


def running_sums(weight: npt.NDArray[np.float64], eligible: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Learned weights as `PoolView.draw` wants them.

    Args:
        weight: ``[classes, backends]``.
        eligible: ``[backends]``; the others add nothing. Where a row has no weight left, those that are eligible
            weigh the same.

    Returns:
        float64, flat, row after row.
    """
    open_weight = np.where(eligible, weight, 0.0)
    open_weight[open_weight.sum(axis=1) <= 0.0] = eligible
    return open_weight.cumsum(axis=1).ravel()
