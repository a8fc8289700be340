"""A pool whose backends come and go: numbers by backend are put in the new order, and newcomers begin from nothing."""

from collections.abc import Sequence

import numpy as np

from smartlb.learning.cells import Matrix

Kept = Sequence[int | None]
"""For each backend from now on its place so far; None for one that is new."""


def seated(values: Matrix, kept: Kept, new: float = 0.0) -> Matrix:
    """Numbers by backend in the new order.

    Args:
        values: the last axis is that of the backends.
        kept: where each comes from.
        new: what one begins with that is new.
    """
    found = np.full((*values.shape[:-1], len(kept)), new, dtype=values.dtype)
    for place, before in enumerate(kept):
        if before is not None:
            found[..., place] = values[..., before]
    return found
