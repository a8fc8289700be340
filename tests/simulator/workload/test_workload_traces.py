"""Rules for traces of all formats: order, bounds, places in error messages, and where traces are looked for."""

import gzip
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.workload import ordering
from simulator.workload.ordering import in_order, of_size
from simulator.workload.request import REQUEST, Requests
from simulator.workload.traces.entry import Entry
from simulator.workload.traces.reading import TraceError, TraceMissing
from simulator.workload.traces.source import Trace, TraceSource


def read(path: Path, **options: Any) -> list[Entry]:
    entries, _ = Trace(TraceSource(path=str(path), **options), path.parent).entries(np.random.default_rng(1))
    return list(entries)


def trace(folder: Path, *times: float | str) -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join(["at,duration", *(f"{at},1" for at in times)]))
    return path


def requests_at(*times: float) -> Requests:
    requests = np.zeros(len(times), REQUEST)
    requests["at_s"] = times
    requests["client"] = range(len(times))
    return requests


def test_a_request_too_far_out_of_order_is_refused_with_its_line(tmp_path: Path) -> None:
    path = trace(tmp_path, 100, 170, 110, 109.5)
    with pytest.raises(TraceError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}:5: this request came 60.5 s before the latest one so far, but")
    assert len(read(path, reorder_s=61)) == 4
    with pytest.raises(TraceError, match=":4: this request came 60 s before"):
        read(path, reorder_s=0)


def test_lines_are_counted_where_rows_have_several(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text('at,target\n1,"a\nb"\n2,x\nsoon,x\n')
    with pytest.raises(TraceError, match=r"trace\.csv:5: expected .*allows no malformed line"):
        read(path, malformed_share=0)


def test_the_bound_of_malformed_lines(tmp_path: Path) -> None:
    good, bad = range(2000), ["soon"]
    assert len(read(trace(tmp_path, *good, *bad * 20))) == 2000
    with pytest.raises(TraceError, match=r":2022: expected .*21 of 2022 lines"):
        read(trace(tmp_path, *good, *bad * 21))
    assert len(read(trace(tmp_path, *good, *bad * 21), malformed_share=0.02)) == 2000
    # At whichever line: the first ones of a file are no exception, but for ten of them.
    assert len(read(trace(tmp_path, *bad * 10, *good))) == 2000
    with pytest.raises(TraceError, match=":12: "):
        read(trace(tmp_path, *bad * 11, *good))


def test_durations_are_needed_only_where_they_cost_something(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("at,target\n1,a\n2,b\n")
    assert len(read(path)) == 2
    entries, report = Trace(TraceSource(path=str(path)), tmp_path).entries(
        np.random.default_rng(1), needs_duration=True
    )
    with pytest.raises(
        TraceError, match=r"holds no request.*duration is not known, but `cost` has per_recorded_second"
    ):
        list(entries)
    assert report.malformed == 2


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TraceError, match=r"no column 'start' for `columns: at`; the trace has the columns at, duration"
    ):
        read(trace(tmp_path, 1), columns={"at": "start"})


def test_dates_in_a_column(tmp_path: Path) -> None:
    path = trace(tmp_path, "2023-11-16T18:15:46.68059Z", "2023-11-16T20:15:47+02:00")
    assert [entry.at_s for entry in read(path, at_unit="iso")] == pytest.approx([1700158546.68059, 1700158547])


def test_a_field_that_is_too_long_is_malformed(tmp_path: Path) -> None:
    path = trace(tmp_path, 1, "9" * 200_000, 2)
    assert [entry.at_s for entry in read(path)] == [1, 2]


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    path = trace(tmp_path, *range(5000))
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TraceError, match=r"trace\.csv: cannot be read: .*end-of-stream"):
        read(path)
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(TraceError, match=r"trace\.csv"):
        read(path)


def test_where_a_trace_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace(tmp_path, 1, 2)
    monkeypatch.setenv("TRACES", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for path, folder in [
        ("trace.csv", tmp_path),
        ("${TRACES}/trace.csv", Path("/")),
        ("~/trace.csv", Path("/")),
        (str(tmp_path / "trace.csv"), Path("/")),
    ]:
        assert Trace(TraceSource(path=path), folder).path == tmp_path / "trace.csv"


def test_a_missing_trace_is_reported_with_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACES", raising=False)
    fetch = "Fetch it from example.org."
    with pytest.raises(TraceMissing, match=r"no such file or folder\. Fetch it from example\.org\."):
        Trace(TraceSource(path="no.csv", fetch=fetch), tmp_path)
    with pytest.raises(TraceMissing, match=r"\$\{TRACES\}/a: the environment variable TRACES is not set\. Fetch it"):
        Trace(TraceSource(path="${TRACES}/a", fetch=fetch), tmp_path)


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ValidationError, match=r"'common_lag' unknown; did you mean 'common_log'\?"):
        TraceSource(path="a", format="common_lag")


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    steps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
    late=st.lists(st.floats(0, 5), min_size=200, max_size=200),
    size=st.integers(1, 50),
    rows=st.integers(1, 50),
)
def test_requests_come_in_order_and_in_arrays_of_one_size(
    steps: list[float], late: list[float], size: int, rows: int
) -> None:
    at_s = np.maximum(np.cumsum(steps) - late[: len(steps)], 0)
    latest = np.maximum.accumulate(at_s)
    at_s = np.maximum(at_s, latest - 5)
    whole = requests_at(*at_s)
    blocks = (whole[at : at + size] for at in range(0, len(whole), size))
    arrays = list(of_size(in_order(blocks, 5.0, 16), rows))
    joined = np.concatenate(arrays)
    assert joined.tobytes() == whole[np.argsort(at_s, kind="stable")].tobytes()
    assert {len(array) for array in arrays[:-1]} <= {rows}
    assert 0 < len(arrays[-1]) <= rows


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST_WAITING", 1000)
    blocks = (requests_at(*np.arange(64) / 100 + at) for at in range(1000))
    with pytest.raises(TraceError, match="more than 1,000 requests came within 60 s"):
        list(chain.from_iterable(in_order(blocks, 60.0, 64)))
