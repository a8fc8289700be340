"""The writing end of the access log: batches of entries from the workers, one line of JSON each to a file."""

import json
import logging
import marshal
import math
import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import FileIO
from queue import SimpleQueue
from time import monotonic
from typing import Any

from smartlb.config.numbering import Numbering
from smartlb.core.outcome import Outcome

log = logging.getLogger(__name__)

_MOST_WAITING = 1024
"""Batches that may wait for the disk; further ones are dropped, and counted."""

_COMPLAIN_EVERY_S = 60.0
_CLOSE_WITHIN_S = 2.0
_STANDARD_OUTPUT = 1

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _name(names: Sequence[str], number: int) -> str | None:
    return names[number] if number < len(names) else None


def _milliseconds(seconds: float) -> float | None:
    return round(seconds * 1e3, 3) if math.isfinite(seconds) else None


class AccessLog:
    """Appends entries to a file, from a thread of its own: a full disk or a blocked pipe stops nothing else.

    Each batch is written as it comes, so that lines wait no longer than in the worker's batch. What cannot be
    written is dropped, counted, and complained about in the log once a minute.

    Args:
        path: file to append to; ``-`` is standard output.
        numbering: of the configuration of the workers, unless a batch comes with another.
        monotonic_to_unix_s: gives what to add to a monotonic time to get seconds since 1970, which changes when the
            clock is set.
        clock: monotonic; for the complaints only.

    Raises:
        OSError: the file cannot be opened.

    Attributes:
        written: lines written so far.
    """

    def __init__(
        self,
        path: str,
        numbering: Numbering,
        monotonic_to_unix_s: Callable[[], float],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.written = 0
        self._path = path
        self._numbering = numbering
        self._offset_s = monotonic_to_unix_s
        self._clock = clock
        self._refused = 0  # lines that found too many batches waiting
        self._lost = 0  # lines that could not be read or written
        self._complain_at_s = -math.inf
        self._torn = False
        self._file = self._open()
        self._batches: SimpleQueue[tuple[bytes, Numbering] | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that could not be written so far."""
        return self._refused + self._lost

    def write_batch(self, payload: bytes, numbering: Numbering | None = None) -> None:
        """Write the entries of one datagram of a worker; never waits and never raises.

        Args:
            payload: `marshal` data of a list of tuples ``(method, target, client, request_id, *fields)`` with
                the fields of `smartlb.core.record.RECORD`; from a process of this router only.
            numbering: of the worker's configuration, where it is another than the log's.
        """
        if self._batches.qsize() < _MOST_WAITING:
            self._batches.put((payload, numbering or self._numbering))
        else:
            self._refused += _count(payload)

    def reopen(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away."""
        self._batches.put(self._reopen)

    def close(self) -> None:
        """Write what waits, and close; gives up when the file takes nothing for two seconds."""
        self._batches.put(None)
        self._thread.join(_CLOSE_WITHIN_S)

    # Everything below runs in the thread.

    def _run(self) -> None:
        while (item := self._batches.get()) is not None:
            if callable(item):
                item()
            else:
                self._write(*item)
        self._file.close()

    def _open(self) -> FileIO:
        if self._path == "-":
            return FileIO(_STANDARD_OUTPUT, "w", closefd=False)
        # Opening a pipe that nobody reads would wait for ever, and the supervisor with it.
        file = FileIO(self._path, "a", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK, 0o666))
        os.set_blocking(file.fileno(), True)
        return file

    def _reopen(self) -> None:
        try:
            file = self._open()
        except OSError as error:
            self._complain("cannot be opened anew, the old file is kept", error)
            return
        self._file.close()
        self._file = file
        self._torn = False

    def _write(self, payload: bytes, numbering: Numbering) -> None:
        try:
            offset_s = self._offset_s()
            lines = [_line(entry, numbering, offset_s) for entry in marshal.loads(payload)]
        except Exception as error:  # whatever a batch holds, the next ones are written
            self._lost += _count(payload)
            self._complain("got a batch that it cannot read", error)
            return
        # After half a line, a new one begins.
        data = b"\n" * self._torn + "".join(lines).encode()
        try:
            while data:
                count = self._file.write(data)
                if not count:
                    raise BlockingIOError("the file takes no more data now")
                self._torn = data[count - 1 : count] != b"\n"
                data = data[count:]
        except OSError as error:
            lost = min(len(lines), data.count(b"\n"))
            self._lost += lost
            self.written += len(lines) - lost
            self._complain("cannot be written", error)
        else:
            self.written += len(lines)

    def _complain(self, what: str, error: Exception) -> None:
        now_s = self._clock()
        if now_s >= self._complain_at_s:
            self._complain_at_s = now_s + _COMPLAIN_EVERY_S
            log.error("access log %s: %s: %s; %d lines are lost so far", self._path, what, error, self.lost)


def _count(payload: bytes) -> int:
    """How many entries a batch has; one where it cannot be read."""
    try:
        return len(marshal.loads(payload))
    except (ValueError, EOFError, TypeError):
        return 1


def _line(entry: tuple[Any, ...], numbering: Numbering, offset_s: float) -> str:
    (
        method,
        target,
        client,
        request_id,
        arrived_s,
        queued_s,
        first_byte_s,
        total_s,
        in_flight,
        request_bytes,
        response_bytes,
        backend,
        route,
        request_class,
        status,
        outcome,
        attempt,
    ) = entry
    member = numbering.backends[backend] if backend < len(numbering.backends) else None
    arrival_s = arrived_s + offset_s
    return (
        _encode(
            {
                "time": datetime.fromtimestamp(arrival_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "arrival_s": round(arrival_s, 6),
                "route": _name(numbering.routes, route),
                "request_class": _name(numbering.classes, request_class),
                "pool": member.pool if member else None,
                "backend": member.settings.label if member else None,
                "method": method.decode(errors="backslashreplace"),
                "target": target.decode(errors="backslashreplace"),
                "client": client,
                "request_id": request_id.decode(errors="backslashreplace"),
                "request_bytes": request_bytes,
                "response_bytes": response_bytes,
                "in_flight": in_flight,
                "queued_ms": _milliseconds(queued_s),
                "first_byte_ms": _milliseconds(first_byte_s),
                "total_ms": _milliseconds(total_s),
                "status": status,
                "outcome": Outcome(outcome).label,
                "attempt": attempt,
            }
        )
        + "\n"
    )
