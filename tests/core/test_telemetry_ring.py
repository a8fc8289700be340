from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE, RECORD, Records, ring_bytes
from smartlb.core.ring_reader import RingReader
from smartlb.core.ring_writer import Record, RingWriter

CAPACITY = 8


def new_ring(capacity: int = CAPACITY) -> memoryview:
    return memoryview(bytearray(ring_bytes(capacity)))


def record_of(*fields: float) -> Record:
    return Record(**dict(zip(RECORD.names or (), fields, strict=True)))


def write(writer: RingWriter, *numbers: int) -> None:
    """One record per number, which every field tells in its own way."""
    for number in numbers:
        times_s = (float(number), number + 0.25, number + 0.5, number + 0.75)
        fields = (*times_s, number, number * 10, number * 100, number, number, number, 200, Outcome.COMPLETE, 1)
        writer.append(record_of(*fields))


def numbers(records: Records) -> list[int]:
    assert (records["backend"] == records["arrived_s"]).all()
    assert (records["response_bytes"] == records["arrived_s"] * 100).all()
    return [int(number) for number in records["arrived_s"]]


def test_a_record_comes_out_as_it_went_in() -> None:
    ring = new_ring()
    reader = RingReader(ring, CAPACITY)
    fields = (1e6 + 0.125, 0.5, 0.25, 0.75, 2**32 - 2, 2**63, 2**64 - 1, NO_BACKEND, NO_ROUTE, 254, 503, 15, 3)
    RingWriter(ring, CAPACITY).append(record_of(*fields))
    (record,) = reader.read()
    assert record.dtype == RECORD
    assert record.item() == fields


def test_no_first_byte_is_nan() -> None:
    ring = new_ring()
    reader = RingReader(ring, CAPACITY)
    RingWriter(ring, CAPACITY).append(Record(arrived_s=1.0, total_s=2.0, backend=1, outcome=Outcome.RESET))
    assert np.isnan(reader.read()["first_byte_s"]).tolist() == [True]


def test_every_record_is_read_once_and_in_order() -> None:
    ring = new_ring()
    writer, reader = RingWriter(ring, CAPACITY), RingReader(ring, CAPACITY)
    assert numbers(reader.read()) == []
    write(writer, 1, 2, 3)
    assert numbers(reader.read()) == [1, 2, 3]
    assert numbers(reader.read()) == []
    # These go over the end.
    write(writer, 4, 5, 6, 7, 8, 9, 10)
    assert numbers(reader.read()) == [4, 5, 6, 7, 8, 9, 10]
    assert reader.lost == 0


def test_what_was_read_stays_when_the_ring_goes_on() -> None:
    ring = new_ring()
    writer, reader = RingWriter(ring, CAPACITY), RingReader(ring, CAPACITY)
    write(writer, 1, 2)
    records = reader.read()
    write(writer, *range(3, 3 + CAPACITY))
    assert numbers(records) == [1, 2]


def test_a_reader_that_falls_behind_loses_the_oldest_and_counts_them() -> None:
    ring = new_ring()
    writer, reader = RingWriter(ring, CAPACITY), RingReader(ring, CAPACITY)
    write(writer, *range(20))
    read = numbers(reader.read())
    assert read == list(range(20 - len(read), 20))
    assert reader.lost == 20 - len(read)
    # The slot that the writer would fill next may be half written, so one less than the capacity is safe.
    assert len(read) == CAPACITY - 1
    write(writer, 20)
    assert numbers(reader.read()) == [20]
    assert reader.lost == 20 - len(read)


def test_a_reader_starts_at_what_is_yet_to_come() -> None:
    ring = new_ring()
    writer = RingWriter(ring, CAPACITY)
    write(writer, 1, 2)
    reader = RingReader(ring, CAPACITY)
    write(writer, 3)
    assert numbers(reader.read()) == [3]
    assert reader.lost == 0


def test_readers_do_not_disturb_each_other() -> None:
    ring = new_ring()
    writer, early, late = RingWriter(ring, CAPACITY), RingReader(ring, CAPACITY), RingReader(ring, CAPACITY)
    write(writer, 1, 2)
    assert numbers(early.read()) == [1, 2]
    write(writer, 3)
    assert numbers(late.read()) == [1, 2, 3]
    assert numbers(early.read()) == [3]


def test_a_new_writer_goes_on_where_the_last_stopped() -> None:
    ring = new_ring()
    reader = RingReader(ring, CAPACITY)
    write(RingWriter(ring, CAPACITY), *range(5))
    write(RingWriter(ring, CAPACITY), *range(5, 7))
    assert numbers(reader.read()) == [0, 1, 2, 3, 4, 5, 6]


class OvertakenReader(RingReader):
    """A reader whose writer writes `meanwhile` while a read copies."""

    writer: RingWriter
    meanwhile: tuple[int, ...] = ()

    def _copy(self, start: int, end: int) -> Any:
        records = super()._copy(start, end)
        write(self.writer, *self.meanwhile)
        return records


@pytest.mark.parametrize(("meanwhile", "kept"), [(1, 5), (2, 5), (3, 4), (5, 2), (7, 0), (50, 0)])
def test_what_the_writer_overtakes_during_a_read_is_dropped(meanwhile: int, kept: int) -> None:
    ring = new_ring()
    reader = OvertakenReader(ring, CAPACITY)
    reader.writer = RingWriter(ring, CAPACITY)
    write(reader.writer, *range(5))
    reader.meanwhile = tuple(range(5, 5 + meanwhile))
    assert numbers(reader.read()) == list(range(5 - kept, 5))
    assert reader.lost == 5 - kept
    # What came meanwhile is for the next read, as far as the ring holds it.
    reader.meanwhile = ()
    last = 5 + meanwhile
    assert numbers(reader.read()) == list(range(max(5, last - CAPACITY + 1), last))
    assert reader.lost == 5 - kept + max(0, meanwhile - CAPACITY + 1)


def test_a_slot_that_is_being_overwritten_is_not_read() -> None:
    ring = new_ring()
    writer, reader = RingWriter(ring, CAPACITY), RingReader(ring, CAPACITY)
    write(writer, *range(CAPACITY))
    # The writer is in the middle of record 8, in record 0's slot, and has not moved the head.
    ring[64 : 64 + 20] = b"\xff" * 20
    assert numbers(reader.read()) == list(range(1, CAPACITY))
    assert reader.lost == 1


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 9), st.lists(st.integers(0, 20), max_size=12))
def test_read_and_lost_records_add_up(capacity: int, bursts: list[int]) -> None:
    ring = new_ring(capacity)
    writer, reader = RingWriter(ring, capacity), RingReader(ring, capacity)
    written = read = 0
    for burst in bursts:
        write(writer, *range(written, written + burst))
        written += burst
        records = numbers(reader.read())
        read += len(records)
        assert records == list(range(written - len(records), written))
        assert read + reader.lost == written
        assert len(records) >= min(burst, capacity - 1)
