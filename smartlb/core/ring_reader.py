"""A reading end of a telemetry ring.

A ring has one writer (a worker) and any number of readers, each of which keeps its own position. The writer
never waits: a reader that falls the ring's capacity behind loses the oldest records and is told how many.
"""

import numpy as np

from smartlb.core import fence
from smartlb.core.record import HEAD_BYTES, RECORD, Records


class RingReader:
    """A reading end of a ring; it starts at the records that are yet to come.

    Attributes:
        lost: records overwritten before this reader came to them, so far.
    """

    def __init__(self, buffer: memoryview, capacity: int) -> None:
        self._head = buffer[:8].cast("Q")
        self._records: Records = np.frombuffer(buffer[HEAD_BYTES:], dtype=RECORD, count=capacity)
        self._capacity = capacity
        self._position = self._head[0]
        self.lost = 0

    def read(self) -> Records:
        """All records since the last call, oldest first, as a copy."""
        head = self._head[0]
        fence.observe()
        start = self._position
        if head - start > self._capacity:
            start = head - self._capacity
        records = self._copy(start, head)
        fence.observe()
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
