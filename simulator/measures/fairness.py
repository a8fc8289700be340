"""How evenly backends are used."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def jain(load: Floats) -> float | None:
    """Jain's index of fairness: 1 where all have the same, 1/n where one of n has everything.

    ``(Σ load)² / (n Σ load²)``; Jain, Chiu, Hawe, A Quantitative Measure of Fairness and Discrimination, DEC TR-301,
    1984.

    Args:
        load: ``[backends]``; at least 0.

    Returns:
        The index, or None where nobody has anything.
    """
    # Scaled first: squares of tiny numbers vanish.
    most = float(load.max(initial=0.0))
    if most <= 0.0:
        return None
    scaled = load / most
    return float(scaled.sum() ** 2 / (len(scaled) * (scaled**2).sum()))
