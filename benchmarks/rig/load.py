"""What a load generator reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one run of a load generator.

    Attributes:
        requests: answered.
        seconds: that the run took.
        p50_ms: median latency.
        p99_ms: latency that one request in a hundred exceeded.
        errors: answers other than 2xx, broken connections and requests without an answer.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of `ordered`, ascending and not empty, that a `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
