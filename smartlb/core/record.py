"""One fixed-size record per attempt at a request.

Records go from a worker to the others through a ring in shared memory: `smartlb.core.ring_writer`, which has the same
layout in C, and `smartlb.core.ring_reader`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.core.outcome import FIRST_BACKEND_FAULT, TOO_MANY_REQUESTS

NO_BACKEND = 0xFFFFFFFF
"""The `backend` of a request that never reached one."""

NO_ROUTE = 0xFFFF
"""The `route` of a request that matched none."""

RECORD = np.dtype(
    [
        ("arrived_s", "<f8"),  # monotonic clock, when the request's head was complete
        ("queued_s", "<f4"),  # from arrival to dispatch
        ("first_byte_s", "<f4"),  # from dispatch to the first byte of the response; NaN where none came
        ("total_s", "<f4"),  # from dispatch to the end of the exchange
        ("in_flight", "<u4"),  # at the backend at dispatch, this request not counted
        ("request_bytes", "<u8"),  # body bytes received from the client
        ("response_bytes", "<u8"),  # body bytes received from the backend, framing included
        ("backend", "<u4"),  # index over all pools
        ("route", "<u2"),
        ("request_class", "<u2"),
        ("status", "<u2"),  # as sent to the client, or to be retried; 0 where there was none
        ("outcome", "u1"),  # an `Outcome`
        ("attempt", "u1"),  # 1 for the first try
    ]
)
"""The layout of a record; 52 bytes, little-endian, no padding."""

HEAD_BYTES = 64
"""What a ring begins with: the number of records written so far, which has a cache line to itself."""

Records = npt.NDArray[np.void]
"""A one-dimensional structured array of `RECORD`."""


def ring_bytes(capacity: int) -> int:
    """The size of a ring for `capacity` records."""
    return HEAD_BYTES + capacity * RECORD.itemsize


def failures(records: Records) -> npt.NDArray[np.bool_]:
    """Which of `records` failed by their backend's doing; `smartlb.core.outcome.failed` over an array."""
    status: Any = records["status"]
    outcome: Any = records["outcome"]
    answered_badly = (outcome == 0) & ((status >= 500) | (status == TOO_MANY_REQUESTS))
    return np.asarray((outcome >= FIRST_BACKEND_FAULT) | answered_badly)
