"""One fixed-size record per attempt at a request, and the ring buffer that carries records between processes.

A ring has one writer (a worker) and any number of readers, each of which keeps its own position. The writer
never waits: a reader that falls the ring's capacity behind loses the oldest records and is told how many.
Records are written whole before the head moves, in program order. Processors that reorder stores (not x86) might
in principle show a reader the head before the record.
"""

import struct
from collections.abc import Callable
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

_PACK = struct.Struct("<dfffIQQIHHHBB")
_RECORD_BYTES = _PACK.size
assert RECORD.itemsize == _RECORD_BYTES

_HEAD_BYTES = 64  # the head has a cache line to itself

Records = npt.NDArray[np.void]
"""A one-dimensional structured array of `RECORD`."""


def ring_bytes(capacity: int) -> int:
    """The size of a ring for `capacity` records."""
    return _HEAD_BYTES + capacity * RECORD.itemsize


class RingWriter:
    """The writing end of a ring over a shared buffer; it resumes where an earlier writer stopped.

    Args:
        buffer: writable, of `ring_bytes(capacity)` bytes, zeroed when new.
        capacity: how many records the ring holds.
    """

    __slots__ = ("_capacity", "_head", "_pack_into", "_slots", "_written")

    def __init__(self, buffer: memoryview, capacity: int) -> None:
        self._head = buffer[:8].cast("Q")
        self._slots = buffer[_HEAD_BYTES:]
        self._capacity = capacity
        self._written = self._head[0]
        self._pack_into: Callable[..., None] = _PACK.pack_into

    def write(self, fields: tuple[Any, ...]) -> None:
        """Append one record; the fields are those of `RECORD`, in order."""
        written = self._written
        self._pack_into(self._slots, written % self._capacity * _RECORD_BYTES, *fields)
        self._written = self._head[0] = written + 1


class RingReader:
    """A reading end of a ring; it starts at the records that are yet to come.

    Attributes:
        lost: records overwritten before this reader came to them, so far.
    """

    def __init__(self, buffer: memoryview, capacity: int) -> None:
        self._head = buffer[:8].cast("Q")
        self._records: Records = np.frombuffer(buffer[_HEAD_BYTES:], dtype=RECORD, count=capacity)
        self._capacity = capacity
        self._position = self._head[0]
        self.lost = 0

    def read(self) -> Records:
        """All records since the last call, oldest first, as a copy."""
        head = self._head[0]
        start = self._position
        if head - start > self._capacity:
            start = head - self._capacity
        records = self._copy(start, head)
        # What the writer overtook while we copied is torn, and so may be the slot it is writing to; drop them.
        torn = self._head[0] + 1 - self._capacity - start
        if torn > 0:
            start = min(start + torn, head)
            records = records[torn:]
        self.lost += start - self._position
        self._position = head
        return records

    def _copy(self, start: int, end: int) -> Records:
        first, last = start % self._capacity, end % self._capacity
        if start == end:
            return self._records[:0].copy()
        if first < last:
            return self._records[first:last].copy()
        return np.concatenate((self._records[first:], self._records[:last]))


def failures(records: Records) -> npt.NDArray[np.bool_]:
    """Which of `records` failed by their backend's doing; `smartlb.core.outcome.failed` over an array."""
    status: Any = records["status"]
    outcome: Any = records["outcome"]
    answered_badly = (outcome == 0) & ((status >= 500) | (status == TOO_MANY_REQUESTS))
    return np.asarray((outcome >= FIRST_BACKEND_FAULT) | answered_badly)
