"""The writing end of the access log: appends the lines that the workers have made to a file."""

import logging
import math
import os
import threading
from collections.abc import Callable
from io import FileIO
from queue import SimpleQueue
from time import monotonic

from smartlb.process.guard import Guard

log = logging.getLogger(__name__)

_MOST_WAITING = 1024
"""Batches that may wait for the disk; further ones are dropped, and counted."""

_COMPLAIN_EVERY_S = 60.0
_CLOSE_WITHIN_S = 2.0
_STANDARD_OUTPUT = 1


class AccessLog:
    """Appends lines to a file, from a thread of its own: a full disk or a blocked pipe stops nothing else.

    Each batch is written as it comes, so that lines wait no longer than in the worker's batch. What cannot be
    written is dropped, counted, and complained about in the log once a minute.

    Args:
        path: file to append to; ``-`` is standard output.
        clock: monotonic; for the complaints only.
        guard: around each batch.

    Raises:
        OSError: the file cannot be opened.

    Attributes:
        written: lines written so far.
    """

    def __init__(self, path: str, clock: Callable[[], float] = monotonic, guard: Guard | None = None) -> None:
        self.written = 0
        self._path = path
        self._clock = clock
        self._refused = 0  # lines that found too many batches waiting
        self._lost = 0  # lines that could not be written
        self._complain_at_s = -math.inf
        self._torn = False
        self._guard = guard or Guard(clock)
        self._file = self._open()
        self._batches: SimpleQueue[bytes | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that could not be written so far."""
        return self._refused + self._lost

    def write_batch(self, lines: bytes) -> None:
        """Append whole lines, such as those of one datagram of a worker; never waits and never raises."""
        if self._batches.qsize() < _MOST_WAITING:
            self._batches.put(lines)
        else:
            self._refused += lines.count(b"\n")

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
            with self._guard("writing the access log"):
                if callable(item):
                    item()
                else:
                    self._write(item)
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

    def _write(self, lines: bytes) -> None:
        count = lines.count(b"\n")
        # After half a line, a new one begins.
        data = b"\n" * self._torn + lines
        try:
            while data:
                taken = self._file.write(data)
                if not taken:
                    raise BlockingIOError("the file takes no more data now")
                self._torn = data[taken - 1 : taken] != b"\n"
                data = data[taken:]
        except OSError as error:
            lost = min(count, data.count(b"\n"))
            self._lost += lost
            self.written += count - lost
            self._complain("cannot be written", error)
        else:
            self.written += count

    def _complain(self, what: str, error: Exception) -> None:
        now_s = self._clock()
        if now_s >= self._complain_at_s:
            self._complain_at_s = now_s + _COMPLAIN_EVERY_S
            log.error("access log %s: %s: %s; %d lines are lost so far", self._path, what, error, self.lost)
