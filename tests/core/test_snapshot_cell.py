import numpy as np
import numpy.typing as npt
import pytest

from smartlb.core.snapshot import Snapshot, SnapshotCell

CLASSES, BACKENDS = 2, 3


def snapshot(version: int) -> Snapshot:
    """A snapshot in which every number tells the version."""

    def matrix(of: int) -> npt.NDArray[np.float64]:
        return version * 1000 + of * 100 + np.arange(6, dtype=np.float64).reshape(CLASSES, BACKENDS)

    return Snapshot(
        version=version,
        published_s=version + 0.5,
        weight=matrix(1),
        explore=matrix(5),
        base_s=matrix(2),
        slope_s=matrix(3),
        error_rate=matrix(4),
        samples=version * 10,
        drifts=version * 2,
    )


def new_buffer() -> memoryview:
    return memoryview(bytearray(SnapshotCell.size(CLASSES, BACKENDS)))


def cell(buffer: memoryview) -> SnapshotCell:
    return SnapshotCell(buffer, CLASSES, BACKENDS)


def assert_same(read: Snapshot | None, expected: Snapshot) -> None:
    assert read is not None
    assert (read.version, read.published_s) == (expected.version, expected.published_s)
    assert (read.samples, read.drifts) == (expected.samples, expected.drifts)
    for name in ("weight", "explore", "base_s", "slope_s", "error_rate"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))


def sequence(buffer: memoryview) -> memoryview:
    return buffer[:8].cast("Q")


def test_nothing_is_read_before_the_first_is_published() -> None:
    empty = cell(new_buffer())
    assert empty.read() is None
    assert (empty.version, empty.published_s) == (0, 0.0)


def test_another_process_reads_what_was_published() -> None:
    buffer = new_buffer()
    writer, reader = cell(buffer), cell(buffer)
    for version in (1, 2, 3):
        writer.publish(snapshot(version))
        assert_same(reader.read(), snapshot(version))
        assert (reader.version, reader.published_s) == (version, version + 0.5)


def test_what_was_read_stays_when_the_next_is_published() -> None:
    buffer = new_buffer()
    writer = cell(buffer)
    writer.publish(snapshot(1))
    first = writer.read()
    writer.publish(snapshot(2))
    assert_same(first, snapshot(1))


def test_nothing_is_read_while_the_writer_is_at_work() -> None:
    buffer = new_buffer()
    cell(buffer).publish(snapshot(1))
    sequence(buffer)[0] |= 1
    assert cell(buffer).read() is None


def test_a_writer_that_died_half_way_does_not_lock_the_cell() -> None:
    buffer = new_buffer()
    cell(buffer).publish(snapshot(1))
    sequence(buffer)[0] |= 1
    cell(buffer).publish(snapshot(2))
    assert_same(cell(buffer).read(), snapshot(2))
    cell(buffer).publish(snapshot(3))
    assert_same(cell(buffer).read(), snapshot(3))


class ReplacedOnceCopied:
    """A cell's matrices, which a writer replaces as soon as they have been copied."""

    def __init__(self, buffer: memoryview) -> None:
        self.writer = cell(buffer)
        self.matrices = np.frombuffer(buffer[-5 * 8 * CLASSES * BACKENDS :]).reshape(5, CLASSES, BACKENDS)

    def copy(self) -> npt.NDArray[np.float64]:
        copied = self.matrices.copy()
        self.writer.publish(snapshot(2))
        return copied


def test_a_snapshot_replaced_during_the_read_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = new_buffer()
    cell(buffer).publish(snapshot(1))
    reader = cell(buffer)
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_matrices", ReplacedOnceCopied(buffer))
        assert reader.read() is None
    assert_same(reader.read(), snapshot(2))
