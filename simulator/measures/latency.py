"""Latency over requests: mean and percentiles."""

import numpy as np
import numpy.typing as npt

from simulator.kernel.state import Array
from simulator.result import failed, latency_s

Floats = npt.NDArray[np.float64]


def successful_ms(requests: Array) -> Floats:
    """Latencies from arrival to the end, retries included, of the requests that did not fail; in milliseconds.

    Quick errors would flatter a policy that sends requests where they fail; they are counted apart, as errors.

    Args:
        requests: `simulator.kernel.state.LOG`; the last attempts, such as `Run.requests`.
    """
    return np.asarray(latency_s(requests)[~failed(requests)] * 1e3, dtype=np.float64)


def mean(values: Floats) -> float | None:
    """The mean, or None of nothing."""
    return float(values.mean()) if len(values) else None


def percentiles(values: Floats, levels: tuple[float, ...]) -> list[float | None]:
    """Percentiles, interpolated linearly; None of nothing.

    Args:
        values: in any order.
        levels: in per cent.
    """
    if not len(values):
        return [None] * len(levels)
    return [float(value) for value in np.percentile(values, levels)]
