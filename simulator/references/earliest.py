"""Earliest deadline first: weighted round robin for weights that are not whole numbers."""

from collections.abc import Sequence


def earliest(eligible: Sequence[int], deadline: Sequence[float], order: Sequence[int]) -> int:
    """The eligible backend with the earliest deadline.

    Args:
        eligible: what to choose from.
        deadline: of each backend.
        order: of backends with the same deadline the lowest is first.
    """
    best = eligible[0]
    for at in eligible:
        if deadline[at] < deadline[best] or (deadline[at] == deadline[best] and order[at] < order[best]):
            best = at
    return best
