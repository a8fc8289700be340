"""The worker's end of the access log: every field of a line, and what comes of lines that cannot be sent."""

import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.config.model import Config
from smartlb.config.numbering import Member, Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE
from smartlb.core.ring_writer import Record
from smartlb.ports.services import Refused
from smartlb.worker.access_log import AccessLog

OFFSET_S = 1_700_000_000.0

NUMBERING = Numbering(
    Config.model_validate(
        {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "pools": {"web": {"backends": [{"name": "a", "address": "127.0.0.1:1"}, "127.0.0.1:2"]}},
            "routes": [{"name": "pages", "pool": "web"}],
            "request_classes": [{"name": "search", "match": {"route": "pages"}}],
            "workers": 1,
        }
    )
)

ATTEMPT: dict[str, Any] = {
    "arrived_s": 100.25,
    "queued_s": 0.001,
    "first_byte_s": 0.0125,
    "total_s": 0.5,
    "in_flight": 3,
    "request_bytes": 10,
    "response_bytes": 2000,
    "backend": 0,
    "route": 0,
    "request_class": 1,
    "status": 200,
    "outcome": int(Outcome.COMPLETE),
    "attempt": 1,
    "method": b"GET",
    "target": b"/x",
    "client": "10.1.2.3",
    "request_id": b"id-1",
}


class Supervisor:
    """In place of the socket; fails as told.

    Attributes:
        batches: that were sent.
    """

    def __init__(self, error: OSError | None = None, takes: float = math.inf) -> None:
        self.batches: list[bytes] = []
        self._error = error
        self._takes = takes

    def send(self, data: bytes) -> int:
        if self._error is not None and len(data) > self._takes:
            raise self._error
        self.batches.append(data)
        return len(data)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for batch in self.batches for line in batch.splitlines()]


def access_log(supervisor: Any, offset_s: Callable[[], float] = lambda: OFFSET_S) -> AccessLog:
    return AccessLog(supervisor, NUMBERING, offset_s)


def add(log: AccessLog, **fields: Any) -> None:
    given = {**ATTEMPT, **fields}
    about = Refused(*(given.pop(name) for name in Refused._fields))
    log.write(Record(**given), about)


def written(**fields: Any) -> dict[str, Any]:
    supervisor = Supervisor()
    log = access_log(supervisor)
    add(log, **fields)
    log.flush()
    assert log.dropped == 0
    (line,) = supervisor.lines
    return line


def test_a_line_has_every_field() -> None:
    assert written() == {
        "time": "2023-11-14T22:15:00.250000Z",
        "arrival_s": 1_700_000_100.25,
        "route": "pages",
        "request_class": "search",
        "pool": "web",
        "backend": "a",
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


def test_every_field_is_documented_in_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    section = text.split("\n## Access log\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(written())


def test_a_request_that_came_nowhere_has_nulls() -> None:
    line = written(backend=NO_BACKEND, route=NO_ROUTE, first_byte_s=math.nan, status=404, outcome=int(Outcome.NO_ROUTE))
    assert line["route"] is line["pool"] is line["backend"] is line["first_byte_ms"] is None
    assert line["outcome"] == "no_route"


def test_a_backend_that_took_anothers_place_has_its_own_name() -> None:
    supervisor = Supervisor()
    log = access_log(supervisor)
    add(log)
    log.seat([Member(index=0, pool="web", position=0, settings=NUMBERING.backends[1].settings)])
    add(log)
    log.flush()
    assert [line["backend"] for line in supervisor.lines] == ["a", "127.0.0.1:2"]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/caf\xc3\xa9", "/café"),
        (b"/\xff\xfe", "/\\xff\\xfe"),
        (b'/"\n{', '/"\n{'),
        ("/\u2028".encode(), "/\u2028"),
        ("/\U0001f600".encode(), "/\U0001f600"),
        (b"/\x00\x1b[31m", "/\x00\x1b[31m"),
        (b"/%d%b", "/%d%b"),
    ],
)
def test_a_target_never_breaks_its_line(target: bytes, shown: str) -> None:
    supervisor = Supervisor()
    log = access_log(supervisor)
    add(log, target=target, request_id=b"\xff")
    log.flush()
    (raw,) = supervisor.batches
    assert json.loads(raw)["target"] == shown
    assert json.loads(raw)["request_id"] == "\\xff"
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert raw.isascii()
    assert b"\x1b" not in raw


def test_long_targets_and_ids_are_cut() -> None:
    line = written(target=b"/" * 9_000, request_id=b"i" * 9_000)
    assert (len(line["target"]), len(line["request_id"])) == (2_048, 128)


def test_times_follow_the_clock() -> None:
    offsets = iter([-86_400.0, 0.0, 0.0])  # the clock is set between the two
    supervisor = Supervisor()
    log = access_log(supervisor, lambda: next(offsets))
    for _ in range(2):
        add(log, arrived_s=86_405.0)
        log.flush()
    assert [line["arrival_s"] for line in supervisor.lines] == [5.0, 86_405.0]
    assert [line["time"][:19] for line in supervisor.lines] == ["1970-01-01T00:00:05", "1970-01-02T00:00:05"]


@given(fields=st.lists(st.floats(0.0, 1e9), min_size=4, max_size=4), number=st.integers(0, 2**64 - 1))
def test_numbers_come_back_as_they_are(fields: list[float], number: int) -> None:
    arrived_s, waited_s, first_byte_s, total_s = fields
    line = written(
        arrived_s=arrived_s, queued_s=waited_s, first_byte_s=first_byte_s, total_s=total_s, response_bytes=number
    )
    assert line["arrival_s"] == pytest.approx(arrived_s + OFFSET_S, abs=1e-5)
    assert line["response_bytes"] == number
    for name, seconds in (("queued_ms", waited_s), ("first_byte_ms", first_byte_s), ("total_ms", total_s)):
        assert line[name] == pytest.approx(seconds * 1e3, abs=1e-3, rel=1e-12)


def test_a_full_batch_is_sent_at_once() -> None:
    supervisor = Supervisor()
    log = access_log(supervisor)
    for _ in range(63):
        add(log)
    assert supervisor.batches == []
    add(log)
    assert len(supervisor.lines) == 64
    for _ in range(14):
        add(log, target=b"/" * 2_048)
    assert len(supervisor.batches) == 2, "and so is one with many bytes"
    log.flush()
    log.flush()
    assert len(supervisor.lines) == 78


def test_what_the_system_takes_in_parts_is_sent_in_parts() -> None:
    supervisor = Supervisor(OSError(90, "Message too long"), takes=1_500)
    log = access_log(supervisor)
    for number in range(20):
        add(log, attempt=number)
    log.flush()
    assert [line["attempt"] for line in supervisor.lines] == list(range(20))
    assert len(supervisor.batches) > 1


def test_what_is_not_taken_is_counted() -> None:
    log = access_log(Supervisor(BlockingIOError(11, "busy"), takes=0))
    for _ in range(3):
        add(log)
    log.flush()
    assert log.dropped == 3


def test_a_line_that_cannot_be_made_is_dropped_and_the_next_is_written(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor()
    log = access_log(supervisor)
    for outcome in (99, 98, 0):
        add(log, outcome=outcome)
    log.flush()
    assert (log.dropped, len(supervisor.lines)) == (2, 1)
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]
