"""What a policy may look at when it picks a backend."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class PoolView(NamedTuple):
    """One pool, as flat sequences that are indexed by a backend's position in the pool.

    The proxy passes `array.array` for what policies may scan (numpy sees it without a copy) and lists for the
    learned rows (fastest to read one by one). Everything but `in_flight` is replaced, never
    changed, when it no longer holds.

    Attributes:
        eligible: positions that may be picked, ascending: healthy, not ejected, not draining, not tried yet.
            Never empty when a policy is called.
        barred: 0.0 where a backend may be picked and infinity where it may not; the same fact as `eligible`,
            for policies that scan.
        in_flight: requests at each backend now, over all workers.
        weight: configured weights, above zero.
        draw: learned weights, one row of `len(weight)` a request class (row `c` starts at `c * len(weight)`),
            as running sums within the row; a barred backend adds nothing.
        base_s: predicted cost in seconds of a request at a backend with nothing in flight; rows as in `draw`.
        slope_s: what each request in flight adds to that cost, in seconds; rows as in `draw`.
    """

    eligible: Sequence[int]
    barred: Sequence[float]
    in_flight: Sequence[int]
    weight: Sequence[float]
    draw: Sequence[float]
    base_s: Sequence[float]
    slope_s: Sequence[float]


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
