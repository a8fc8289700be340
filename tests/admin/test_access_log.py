"""The access log's writing end, and what happens when writing fails."""

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from smartlb.admin.access_log import AccessLog
from smartlb.process.guard import Guard


def line(target: str = "/x") -> bytes:
    return b'{"target":"%b"}\n' % target.encode()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_appended_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line())
    log = AccessLog(str(path))
    log.write_batch(line() * 2)
    log.write_batch(line())
    log.close()
    assert (log.written, log.lost) == (3, 0)
    assert len(lines(path)) == 4


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(str(path))
    log.write_batch(line("/1"))
    path.rename(old)
    log.write_batch(line("/2"))
    log.reopen()
    log.write_batch(line("/3"))
    log.close()
    assert [line["target"] for line in lines(old)] == ["/1", "/2"]
    assert [line["target"] for line in lines(path)] == ["/3"]


def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = AccessLog(str(directory / "log"))
    moved = directory.rename(tmp_path / "moved")
    log.reopen()
    log.write_batch(line())
    log.close()
    assert len(lines(moved / "log")) == 1
    assert "cannot be opened anew, the old file is kept" in caplog.text


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-")
    log.write_batch(line())
    log.close()
    assert json.loads(capfd.readouterr().out) == {"target": "/x"}
    os.fstat(1)  # it is still open


def test_a_path_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "missing" / "log"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 59.0, 60.0, 61.0])
    log = AccessLog("/dev/full", clock=lambda: next(times))
    for _ in range(4):
        log.write_batch(line() * 2)
    log.close()
    assert (log.written, log.lost) == (0, 8)
    messages = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 2
    assert "No space left on device; 2 lines are lost so far" in messages[0]
    assert "6 lines are lost so far" in messages[1]


def test_an_error_that_nobody_foresaw_ends_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log"
    guard = Guard()
    log = AccessLog(str(path), guard=guard)
    log._batches.put("text")  # type: ignore[arg-type]
    log.write_batch(line())
    log.close()
    assert len(lines(path)) == 1
    assert guard.errors == {"writing the access log": 1}
    assert "Traceback" in caplog.text


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


def test_a_blocked_pipe_stops_nobody_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    pipe = _Pipe(path)
    log = AccessLog(str(path))
    batch = line("/" + "x" * 1000) * 2
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
import resource, sys, time
from smartlb.admin.access_log import AccessLog

path, first, second = sys.argv[1:]
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
log = AccessLog(path)
log.write_batch(first.encode())
while not log.lost:
    time.sleep(0.001)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write_batch(second.encode())
log.close()
print(log.written, log.lost)
"""


def test_half_a_line_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first_target = "/1" + "x" * 250
    batches = [line(first_target) + line("/2" + "x" * 250), line("/3")]
    # In a process of its own, because the limit holds for all that a process writes.
    ended = subprocess.run(
        [sys.executable, "-c", _FILL_A_DISK, str(path), *(batch.decode() for batch in batches)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, half, third = path.read_text().splitlines()
    assert json.loads(first)["target"] == first_target
    assert json.loads(third)["target"] == "/3"
    assert half.startswith('{"target":')
    assert not half.endswith("}")
    assert ended.stdout.split() == ["2", "1"]
