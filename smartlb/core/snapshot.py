"""What the learner publishes, and the cell of shared memory in which readers find it whole."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smartlb.core import fence

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Learned weights and predicted costs of every backend, for every request class.

    Attributes:
        version: counts the publications of this router, from 1; a restarted learner goes on counting.
        published_s: when it was published, by the monotonic clock.
        weight: ``[classes, backends]``; in each row the weights of one pool's backends sum to 1.
        explore: ``[classes, backends]``; probability that a request is sent there to learn of it, whatever it costs.
        base_s: ``[classes, backends]``; predicted cost of a request at an idle backend, in seconds. A cost is
            latency plus what the predicted error rate adds as a penalty.
        slope_s: ``[classes, backends]``; what each request in flight adds to the cost, in seconds, never negative.
        error_rate: ``[classes, backends]``; predicted share of requests that fail.
        samples: records learned from since the learner's start.
        drifts: drift detections since the learner's start.
    """

    version: int
    published_s: float
    weight: Matrix
    explore: Matrix
    base_s: Matrix
    slope_s: Matrix
    error_rate: Matrix
    samples: int
    drifts: int


_MATRICES = ("weight", "explore", "base_s", "slope_s", "error_rate")


class SnapshotCell:
    """One snapshot in shared memory, replaced under a sequence lock by its only writer.

    The sequence number is odd while the writer is at work; a reader that sees it odd or changed keeps what it
    had and tries again at its next turn, so that neither side ever waits. `smartlb.core.fence` keeps the matrices
    between the two changes of the number, on either side.
    """

    _HEADER = np.dtype(
        [
            ("sequence", "<u8"),
            ("version", "<u8"),
            ("published_s", "<f8"),
            ("samples", "<u8"),
            ("drifts", "<u8"),
        ]
    )

    @classmethod
    def size(cls, classes: int, backends: int) -> int:
        """Bytes that a cell takes."""
        return cls._HEADER.itemsize + len(_MATRICES) * 8 * classes * backends

    def __init__(self, buffer: memoryview, classes: int, backends: int) -> None:
        self._header = np.frombuffer(buffer[: self._HEADER.itemsize], dtype=self._HEADER)
        self._matrices = np.frombuffer(buffer[self._HEADER.itemsize :], dtype=np.float64).reshape(
            len(_MATRICES), classes, backends
        )

    @property
    def version(self) -> int:
        """The version of the snapshot that is published now; 0 before the first."""
        return int(self._header["version"][0])

    @property
    def published_s(self) -> float:
        """When the present snapshot was published, by the monotonic clock; 0.0 before the first."""
        return float(self._header["published_s"][0])

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        header = self._header
        # A writer that died half-way left the number odd; the next one makes it even again.
        sequence = int(header["sequence"][0]) | 1
        header["sequence"] = sequence
        fence.publish()
        header["version"] = snapshot.version
        header["published_s"] = snapshot.published_s
        header["samples"] = snapshot.samples
        header["drifts"] = snapshot.drifts
        for target, name in zip(self._matrices, _MATRICES, strict=True):
            target[:] = getattr(snapshot, name)
        fence.publish()
        header["sequence"] = sequence + 1

    def read(self) -> Snapshot | None:
        """The published snapshot as a copy; None before the first, or while it is being replaced."""
        before = int(self._header["sequence"][0])
        if before == 0 or before & 1:
            return None
        fence.observe()
        header = self._header[0].copy()
        matrices = dict(zip(_MATRICES, self._matrices.copy(), strict=True))
        fence.observe()
        if int(self._header["sequence"][0]) != before:
            return None
        return Snapshot(
            version=int(header["version"]),
            published_s=float(header["published_s"]),
            **matrices,
            samples=int(header["samples"]),
            drifts=int(header["drifts"]),
        )
