"""Two distinct backends by uniform draws, for policies that take the better of two."""

from collections.abc import Sequence


def pair(eligible: Sequence[int], draws: Sequence[float]) -> tuple[int, int]:
    """Two of `eligible`, in the order drawn; the same one twice where there is no other."""
    count = len(eligible)
    i = int(draws[0] * count)
    if count == 1:
        return eligible[0], eligible[0]
    j = int(draws[1] * (count - 1))
    return eligible[i], eligible[j + (j >= i)]
