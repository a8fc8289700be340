"""A router's access log and metrics as DataFrames."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simulator.telemetry_frames import TelemetryError, access_log_frame, metrics_frame


def line(**given: Any) -> str:
    """A line of an access log; or as `given`."""
    record = {
        "time": "2026-01-02T03:04:05.500000Z",
        "arrival_s": 1767323045.5,
        "route": "all",
        "request_class": "page",
        "pool": "web",
        "backend": "a",
        "method": "GET",
        "target": "/x?y=1",
        "client": "10.0.0.1",
        "request_id": "r1",
        "request_bytes": 0,
        "response_bytes": 3,
        "in_flight": 2,
        "queued_ms": 1.5,
        "first_byte_ms": 10.0,
        "total_ms": 12.0,
        "status": 200,
        "outcome": "complete",
        "attempt": 1,
        **given,
    }
    return json.dumps(record) + "\n"


def read(folder: Path, *lines: str) -> pd.DataFrame:
    path = folder / "access.log"
    path.write_text("".join(lines))
    return access_log_frame(path)


def test_a_line_becomes_a_row(tmp_path: Path) -> None:
    row = read(tmp_path, line()).iloc[0]
    assert row["time"] == pd.Timestamp("2026-01-02T03:04:05.5", tz="UTC")
    assert (row["backend"], row["target"], row["status"], row["attempt"]) == ("a", "/x?y=1", 200, 1)
    assert row["latency_ms"] == 13.5
    assert not row["failed"]


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        ({"status": 404}, False),
        ({"status": 500}, True),
        ({"status": 429}, True),
        ({"status": 502, "outcome": "reset"}, True),
        ({"status": 0, "outcome": "truncated"}, True),
        ({"status": 503, "outcome": "no_backend", "backend": None, "pool": None}, True),
        ({"status": 400, "outcome": "bad_request", "backend": None}, False),
        ({"status": 0, "outcome": "client_gone"}, False),
    ],
)
def test_what_failed(tmp_path: Path, given: dict[str, Any], failed: bool) -> None:
    assert read(tmp_path, line(**given))["failed"].tolist() == [failed]


def test_what_the_log_does_not_know_is_missing(tmp_path: Path) -> None:
    frame = read(tmp_path, line(backend=None, pool=None, first_byte_ms=None, total_ms=40.0, queued_ms=40.0))
    assert frame["backend"].isna().all()
    assert frame["first_byte_ms"].isna().all()
    assert frame["latency_ms"].tolist() == [40.0]


def test_rows_are_in_order_of_arrival(tmp_path: Path) -> None:
    frame = read(tmp_path, line(arrival_s=2.0), line(arrival_s=1.0, attempt=2), line(arrival_s=1.0))
    assert frame[["arrival_s", "attempt"]].to_numpy().tolist() == [[1.0, 1], [1.0, 2], [2.0, 1]]


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    assert len(read(tmp_path, line(), line()[:40])) == 1


def test_an_empty_log_has_the_same_columns(tmp_path: Path) -> None:
    empty, full = read(tmp_path), read(tmp_path, line())
    assert not len(empty)
    assert list(empty.columns) == list(full.columns)


def test_compressed_logs(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(line().encode()))
    assert len(access_log_frame(path)) == 1


@pytest.mark.parametrize("wrong", ["GET /\n", "{}\n", "[]\n", line(outcome="vanished"), '{"time": 1}\n'])
def test_another_file_is_refused_by_line(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(TelemetryError, match=r"access\.log:2: not a line of the router's access log"):
        read(tmp_path, line(), wrong)


SCRAPE = """\
# HELP smartlb_requests_total Attempts.
# TYPE smartlb_requests_total counter
smartlb_requests_total{backend="a",status_class="2xx"} 7.0
smartlb_requests_total{backend="b",status_class="5xx"} 1.0
# HELP smartlb_in_flight Now.
# TYPE smartlb_in_flight gauge
smartlb_in_flight{backend="a"} 3.0
# HELP took_seconds Latency.
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 1.0
took_seconds_bucket{le="+Inf"} 2.0
took_seconds_count 2.0
took_seconds_sum 0.5
"""


@pytest.mark.parametrize("text", [SCRAPE, SCRAPE.replace("requests_total A", "requests A") + "# EOF\n"])
def test_samples_become_rows(text: str) -> None:
    if text.endswith("# EOF\n"):
        text = text.replace("# TYPE smartlb_requests_total", "# TYPE smartlb_requests")
    frame = metrics_frame(text)
    assert list(frame.columns) == ["metric", "kind", "sample", "value", "backend", "status_class", "le"]
    requests = frame[frame["metric"] == "smartlb_requests"]
    assert requests["kind"].unique().tolist() == ["counter"]
    assert requests["sample"].unique().tolist() == ["smartlb_requests_total"]
    assert requests.set_index("backend")["value"].to_dict() == {"a": 7.0, "b": 1.0}
    in_flight = frame[frame["sample"] == "smartlb_in_flight"].iloc[0]
    assert in_flight["value"] == 3.0
    assert pd.isna(in_flight["status_class"])
    assert frame[frame["sample"] == "took_seconds_bucket"]["le"].tolist() == ["0.1", "+Inf"]


def test_nothing_is_no_rows() -> None:
    assert list(metrics_frame("").columns) == ["metric", "kind", "sample", "value"]


@pytest.mark.parametrize("text", ["a{b=1} x\n", "<html>\n", "a 1\nb\n# EOF\n"])
def test_what_are_no_metrics_is_refused(text: str) -> None:
    with pytest.raises(TelemetryError, match="not metrics"):
        metrics_frame(text)
