"""The access log's writing end: every field, and what happens when writing fails."""

import json
import logging
import marshal
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from smartlb.admin.access_log import AccessLog
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE, RECORD

FIELDS = dict(
    zip(
        RECORD.names or (),
        (100.25, 0.001, 0.0125, 0.5, 3, 10, 2000, 1, 0, 1, 200, int(Outcome.COMPLETE), 1),
        strict=True,
    )
)
OFFSET_S = 1_700_000_000.0


def entry(target: bytes = b"/x", request_id: bytes = b"id-1", **fields: Any) -> tuple[Any, ...]:
    return (b"GET", target, "10.1.2.3", request_id, *{**FIELDS, **fields}.values())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path: Path, numbering: Numbering, *entries: tuple[Any, ...]) -> list[dict[str, Any]]:
    log = AccessLog(str(path), numbering, lambda: OFFSET_S)
    log.write_batch(marshal.dumps(list(entries)))
    log.close()
    return lines(path)


def test_a_line_has_every_field(tmp_path: Path, numbering: Numbering) -> None:
    assert written(tmp_path / "log", numbering, entry()) == [
        {
            "time": "2023-11-14T22:15:00.250000Z",
            "arrival_s": 1_700_000_100.25,
            "route": "pages",
            "request_class": "search",
            "pool": "web",
            "backend": "b",
            "method": "GET",
            "target": "/x",
            "client": "10.1.2.3",
            "request_id": "id-1",
            "request_bytes": 10,
            "response_bytes": 2000,
            "in_flight": 3,
            "queued_ms": 1.0,
            "first_byte_ms": 12.5,
            "total_ms": 500.0,
            "status": 200,
            "outcome": "complete",
            "attempt": 1,
        }
    ]


def test_a_request_that_came_nowhere_has_nulls(tmp_path: Path, numbering: Numbering) -> None:
    (line,) = written(
        tmp_path / "log",
        numbering,
        entry(
            backend=NO_BACKEND,
            route=NO_ROUTE,
            first_byte_s=math.nan,
            status=404,
            outcome=int(Outcome.NO_ROUTE),
        ),
    )
    assert line["route"] is line["pool"] is line["backend"] is line["first_byte_ms"] is None
    assert line["outcome"] == "no_route"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/caf\xc3\xa9", "/café"),
        (b"/\xff\xfe", "/\\xff\\xfe"),
        (b'/"\n{', '/"\n{'),
        ("/\u2028".encode(), "/\u2028"),
        (b"/\x00\x1b[31m", "/\x00\x1b[31m"),
    ],
)
def test_a_target_never_breaks_its_line(tmp_path: Path, numbering: Numbering, target: bytes, shown: str) -> None:
    path = tmp_path / "log"
    (line,) = written(path, numbering, entry(target, request_id=b"\xff"))
    assert line["target"] == shown
    assert line["request_id"] == "\\xff"
    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert raw.isascii()
    assert b"\x1b" not in raw


def test_lines_are_appended_and_counted(tmp_path: Path, numbering: Numbering) -> None:
    path = tmp_path / "log"
    written(path, numbering, entry())
    log = AccessLog(str(path), numbering, lambda: OFFSET_S)
    log.write_batch(marshal.dumps([entry(), entry()]))
    log.write_batch(marshal.dumps([entry()]))
    log.close()
    assert (log.written, log.lost) == (3, 0)
    assert len(lines(path)) == 4


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path, numbering: Numbering) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(path), numbering, lambda: OFFSET_S)
    log.write_batch(marshal.dumps([entry(b"/1")]))
    path.rename(old)
    log.write_batch(marshal.dumps([entry(b"/2")]))
    log.reopen()
    log.write_batch(marshal.dumps([entry(b"/3")]))
    log.close()
    assert [line["target"] for line in lines(old)] == ["/1", "/2"]
    assert [line["target"] for line in lines(path)] == ["/3"]


def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one(
    tmp_path: Path, numbering: Numbering, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = AccessLog(str(directory / "log"), numbering, lambda: OFFSET_S)
    moved = directory.rename(tmp_path / "moved")
    log.reopen()
    log.write_batch(marshal.dumps([entry()]))
    log.close()
    assert len(lines(moved / "log")) == 1
    assert "cannot be opened anew, the old file is kept" in caplog.text


def test_standard_output(numbering: Numbering, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-", numbering, lambda: OFFSET_S)
    log.write_batch(marshal.dumps([entry()]))
    log.close()
    assert json.loads(capfd.readouterr().out)["backend"] == "b"
    os.fstat(1)  # it is still open


def test_a_path_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path, numbering: Numbering) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "missing" / "log"), numbering, lambda: OFFSET_S)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_counted_and_told_once_a_minute(numbering: Numbering, caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 59.0, 60.0, 61.0])
    log = AccessLog("/dev/full", numbering, lambda: OFFSET_S, clock=lambda: next(times))
    for _ in range(4):
        log.write_batch(marshal.dumps([entry(), entry()]))
    log.close()
    assert (log.written, log.lost) == (0, 8)
    messages = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 2
    assert "No space left on device; 2 lines are lost so far" in messages[0]
    assert "6 lines are lost so far" in messages[1]


@pytest.mark.parametrize(
    "payload",
    [b"", b"rubbish", marshal.dumps(5), marshal.dumps([(1, 2)]), marshal.dumps([entry(outcome=99)])],
)
def test_a_batch_that_cannot_be_read_is_counted_and_the_next_is_written(
    tmp_path: Path, numbering: Numbering, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    log = AccessLog(str(path), numbering, lambda: OFFSET_S)
    log.write_batch(payload)
    log.write_batch(marshal.dumps([entry()]))
    log.close()
    assert (log.written, log.lost) == (1, 1)
    assert "got a batch that it cannot read" in caplog.text
    assert len(lines(path)) == 1


class _Pipe:
    """A pipe of which nobody reads until told to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._reader, True)
        self.read = b""

    def drain(self) -> None:
        while data := os.read(self._reader, 1 << 16):
            self.read += data

    def close(self) -> None:
        os.close(self._reader)


def test_a_blocked_pipe_stops_nobody_and_what_is_too_much_is_counted(tmp_path: Path, numbering: Numbering) -> None:
    path = tmp_path / "pipe"
    pipe = _Pipe(path)
    log = AccessLog(str(path), numbering, lambda: OFFSET_S)
    batch = marshal.dumps([entry(b"/" + b"x" * 1000)] * 2)
    total = 0
    while not log.lost:
        log.write_batch(batch)  # returns at once: the pipe takes 64 KiB, then its writer blocks
        total += 2
    draining = threading.Thread(target=pipe.drain)
    draining.start()
    log.close()
    draining.join()
    pipe.close()
    assert log.written + log.lost == total
    assert pipe.read.count(b"\n") == log.written


_FILL_A_DISK = """
import marshal, resource, sys, time
from smartlb.admin.access_log import AccessLog
from smartlb.config.model import Config
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering

path, config, first, second = sys.argv[1:]
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
log = AccessLog(path, Numbering(Config.model_validate_json(config)), lambda: 0.0)
log.write_batch(bytes.fromhex(first))
while not log.lost:
    time.sleep(0.001)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write_batch(bytes.fromhex(second))
log.close()
print(log.written, log.lost)
"""


def test_half_a_line_is_ended_before_the_next(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "log"
    batches = [[entry(b"/1"), entry(b"/2")], [entry(b"/3")]]
    arguments = [str(path), config.model_dump_json(), *(marshal.dumps(batch).hex() for batch in batches)]
    # In a process of its own, because the limit holds for all that a process writes.
    ended = subprocess.run(
        [sys.executable, "-c", _FILL_A_DISK, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, half, third = path.read_text().splitlines()
    assert json.loads(first)["target"] == "/1"
    assert json.loads(third)["target"] == "/3"
    assert half.startswith('{"time":')
    assert not half.endswith("}")
    assert ended.stdout.split() == ["2", "1"]


def test_times_follow_the_clock(tmp_path: Path, numbering: Numbering) -> None:
    offsets = iter([-86_400.0, 0.0])  # the clock is set between the two
    log = AccessLog(str(tmp_path / "log"), numbering, lambda: next(offsets))
    for _ in range(2):
        log.write_batch(marshal.dumps([(b"GET", b"/", "c", b"", 5.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 200, 0, 1)]))
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["arrival_s"] for line in lines] == [-86_395.0, 5.0]
