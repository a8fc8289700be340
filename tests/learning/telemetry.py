"""Telemetry records as a worker would write them."""

import numpy as np

from smartlb.core.outcome import Outcome
from smartlb.core.record import RECORD, Records


def some_records(
    count: int = 1,
    *,
    backend: int = 0,
    request_class: int = 0,
    in_flight: int = 0,
    latency_s: float = 0.02,
    status: int = 200,
    outcome: int = Outcome.COMPLETE,
) -> Records:
    """`count` records that are all alike."""
    records = np.zeros(count, dtype=RECORD)
    records["backend"] = backend
    records["request_class"] = request_class
    records["in_flight"] = in_flight
    records["first_byte_s"] = latency_s
    records["total_s"] = 2.0 * latency_s
    records["status"] = status
    records["outcome"] = outcome
    records["attempt"] = 1
    return records


NOTHING = some_records(0)
