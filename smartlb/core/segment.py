"""The memory that all processes of one router share, as named arrays over one buffer.

One writer each: a worker writes its own row and ring, the supervisor the eligibility, the learner the snapshot. Only
the buckets of rate limits have several, by compare-and-swap.
Backends are numbered over all pools in the order of the configuration, request classes and routes likewise.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.core.record import ring_bytes
from smartlb.core.ring_reader import RingReader
from smartlb.core.ring_writer import RingWriter
from smartlb.core.snapshot import SnapshotCell

_ALIGN = 64


class Gauge(IntEnum):
    """What a worker reports of itself besides its records, each a column of `Segment.gauges`."""

    CONNECTIONS = 0  # open client connections
    CONNECTIONS_REFUSED = 1  # closed at once because of the limit, since the worker's start
    WAITING = 2  # requests in the pools' wait queues
    SNAPSHOT_VERSION = 3  # of the learned snapshot in use; 0 for none
    FALLBACK = 4  # 1 while learned pools are on their fallback policy
    LOG_LINES_DROPPED = 5  # access log lines dropped because the writer was behind
    CONNECTS = 6  # connections opened to backends, successfully or not
    STALE_RETRIES = 7  # requests sent again because an idle connection was closed under them
    RETRIES = 8  # further attempts at requests
    RETRIES_REFUSED = 9  # not made because the retry budget was used up
    TLS_HANDSHAKES = 10  # with clients, completed
    TLS_HANDSHAKES_FAILED = 11  # with clients, given up by either side or not complete in time
    DRAINING = 12  # 1 once it accepts no more connections
    UDP_SESSIONS = 13  # sessions of udp listeners
    AFFINITY_KEPT = 14  # picks of the backend that affinity bound a request to
    AFFINITY_LOST = 15  # picks of another one, because that one was away
    MIRRORED = 16  # copies of requests
    MIRROR_DROPPED = 17  # not made because too many were under way
    HTTP2_CONNECTIONS = 18  # of clients, open now
    HTTP2_CALMED = 19  # of clients, closed because they reset streams or sent control frames too often
    HEDGES = 20  # second attempts while the first one was under way
    HEDGES_WON = 21  # that answered first
    HEDGES_REFUSED = 22  # not made because a budget was used up
    INTERNAL_ERRORS = 23  # that nobody foresaw, in what a worker does beside requests
    HTTP2_REFUSED = 24  # requests of clients, because too many were under way


@dataclass(frozen=True, slots=True)
class Layout:
    """The sizes that fix where everything lies in the segment.

    Attributes:
        workers: how many there are.
        backends: likewise, over all pools.
        classes: request classes.
        ring_capacity: records in each worker's telemetry ring.
        rate_limit_bytes: of the tables of buckets of all routes with a rate limit.
    """

    workers: int
    backends: int
    classes: int
    ring_capacity: int = 65_536
    rate_limit_bytes: int = 0

    def _parts(self) -> dict[str, int]:
        return {
            "heartbeat_s": 8 * self.workers,
            "gauges": 8 * self.workers * len(Gauge),
            "eligibility_version": 8,
            "membership_version": 8,
            "learner_errors": 8,
            "eligible": self.backends,
            "in_flight": 4 * self.workers * self.backends,
            "waiting": 4 * self.workers * self.backends,
            "snapshot": SnapshotCell.size(self.classes, self.backends),
            **{f"ring{worker}": ring_bytes(self.ring_capacity) for worker in range(self.workers)},
            "rate_limits": self.rate_limit_bytes,
        }

    @property
    def size(self) -> int:
        """Bytes the segment takes."""
        return sum(-(-part // _ALIGN) * _ALIGN for part in self._parts().values())

    def slices(self) -> dict[str, slice]:
        """Where each part lies."""
        slices, start = {}, 0
        for name, length in self._parts().items():
            slices[name] = slice(start, start + length)
            start += -(-length // _ALIGN) * _ALIGN
        return slices


class Segment:
    """The arrays of a segment over `buffer`, which a process maps from the supervisor's file descriptor.

    Attributes:
        heartbeat_s: float64 ``[workers]``; the monotonic time at which each worker last showed life.
        gauges: float64 ``[workers, Gauge]``.
        eligibility_version: uint64 ``[1]``; raised after each change of `eligible`.
        membership_version: uint64 ``[1]``; raised twice with each change of the backends that discovery found, and odd
            in between.
        learner_errors: uint64 ``[1]``; errors of the learner that nobody foresaw.
        eligible: uint8 ``[backends]``; 0 where a backend may not be picked, 2 where only because its pool panics.
        in_flight: int32 ``[workers, backends]``; each worker writes its row, all read the sum.
        waiting: int32 ``[workers, backends]``; in the column of a pool's first backend how many wait in each worker for
            room in that pool.
        snapshot: the learner's latest output.
    """

    heartbeat_s: npt.NDArray[np.float64]
    gauges: npt.NDArray[np.float64]
    eligibility_version: npt.NDArray[np.uint64]
    membership_version: npt.NDArray[np.uint64]
    learner_errors: npt.NDArray[np.uint64]
    eligible: npt.NDArray[np.uint8]
    in_flight: npt.NDArray[np.int32]
    waiting: npt.NDArray[np.int32]

    def __init__(self, buffer: memoryview, layout: Layout) -> None:
        self.layout = layout
        self._buffer = buffer
        self._slices = layout.slices()
        workers, backends = layout.workers, layout.backends
        self.heartbeat_s = self._array("heartbeat_s", np.float64, (workers,))
        self.gauges = self._array("gauges", np.float64, (workers, len(Gauge)))
        self.eligibility_version = self._array("eligibility_version", np.uint64, (1,))
        self.membership_version = self._array("membership_version", np.uint64, (1,))
        self.learner_errors = self._array("learner_errors", np.uint64, (1,))
        self.eligible = self._array("eligible", np.uint8, (backends,))
        self.in_flight = self._array("in_flight", np.int32, (workers, backends))
        self.waiting = self._array("waiting", np.int32, (workers, backends))
        self.snapshot = SnapshotCell(buffer[self._slices["snapshot"]], layout.classes, backends)

    def _array(self, name: str, dtype: type, shape: tuple[int, ...]) -> Any:
        return np.frombuffer(self._buffer[self._slices[name]], dtype=dtype).reshape(shape)

    def ring_writer(self, worker: int) -> RingWriter:
        """The writing end of a worker's telemetry ring."""
        return RingWriter(self._buffer[self._slices[f"ring{worker}"]], self.layout.ring_capacity)

    def ring_reader(self, worker: int) -> RingReader:
        """A reading end of a worker's telemetry ring."""
        return RingReader(self._buffer[self._slices[f"ring{worker}"]], self.layout.ring_capacity)

    def rate_limit(self, table: slice) -> memoryview:
        """A route's table of buckets, which all workers share; `Numbering.rate_limits` says where it lies."""
        return self._buffer[self._slices["rate_limits"]][table]

    def in_flight_row(self, worker: int) -> memoryview:
        """A worker's own counts, for single reads and writes without numpy's overhead."""
        start = self._slices["in_flight"].start + 4 * worker * self.layout.backends
        return self._buffer[start : start + 4 * self.layout.backends].cast("i")
