from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.core.ring_writer import Record
from smartlb.core.segment import Gauge, Layout, Segment
from smartlb.core.snapshot import Snapshot

LAYOUT = Layout(workers=3, backends=5, classes=2, ring_capacity=4)

layouts = st.builds(
    Layout,
    workers=st.integers(1, 8),
    backends=st.integers(1, 70),
    classes=st.integers(1, 5),
    ring_capacity=st.integers(1, 40),
    rate_limit_bytes=st.integers(0, 1_000),
)


@settings(deadline=None, derandomize=True)
@given(layouts)
def test_parts_follow_each_other_without_overlap(layout: Layout) -> None:
    slices = list(layout.slices().values())
    assert slices[0].start == 0
    assert all(part.start % 64 == 0 and part.start <= part.stop for part in slices)
    assert all(part.stop <= following.start for part, following in pairwise(slices))
    assert slices[-1].stop <= layout.size


@settings(deadline=None, derandomize=True)
@given(layouts)
def test_a_segment_fits_its_layout_exactly(layout: Layout) -> None:
    segment = Segment(memoryview(bytearray(layout.size)), layout)
    assert segment.heartbeat_s.shape == (layout.workers,)
    assert segment.gauges.shape == (layout.workers, len(Gauge))
    assert segment.eligible.shape == (layout.backends,)
    assert segment.in_flight.shape == (layout.workers, layout.backends)
    for worker in range(layout.workers):
        assert len(segment.in_flight_row(worker)) == layout.backends
        segment.ring_writer(worker)
        segment.ring_reader(worker)


def test_every_part_keeps_what_was_written_to_it() -> None:
    buffer = memoryview(bytearray(LAYOUT.size))
    writer, reader = Segment(buffer, LAYOUT), Segment(buffer, LAYOUT)
    rings = [reader.ring_reader(worker) for worker in range(LAYOUT.workers)]

    writer.heartbeat_s[:] = [1.5, 2.5, 3.5]
    writer.gauges[:] = np.arange(writer.gauges.size).reshape(writer.gauges.shape)
    writer.eligibility_version[0] = 2**63
    writer.eligible[:] = [1, 0, 1, 1, 0]
    for worker in range(LAYOUT.workers):
        row = writer.in_flight_row(worker)
        for backend in range(LAYOUT.backends):
            row[backend] = 10 * worker + backend
        writer.ring_writer(worker).append(Record(arrived_s=float(worker), backend=worker, status=200))
    matrix = np.arange(10, dtype=np.float64).reshape(2, 5)
    rows = [matrix + 100 * at for at in range(5)]
    writer.snapshot.publish(Snapshot(1, 9.0, rows[0], rows[1], rows[2], rows[3], rows[4], samples=7, drifts=1))

    assert reader.heartbeat_s.tolist() == [1.5, 2.5, 3.5]
    assert reader.gauges.ravel().tolist() == list(range(reader.gauges.size))
    assert int(reader.eligibility_version[0]) == 2**63
    assert reader.eligible.tolist() == [1, 0, 1, 1, 0]
    assert reader.in_flight.tolist() == [[10 * worker + backend for backend in range(5)] for worker in range(3)]
    assert [ring.read()["backend"].tolist() for ring in rings] == [[0], [1], [2]]
    snapshot = reader.snapshot.read()
    assert snapshot is not None
    assert snapshot.error_rate.tolist() == (matrix + 400).tolist()


def test_a_buffer_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError):
        Segment(memoryview(bytearray(LAYOUT.size // 4)), LAYOUT)
