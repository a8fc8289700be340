"""What a format of traces is, and what most readers are made of."""

import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.reading import Reading

UNKNOWN = float("nan")
"""The duration of a request where the trace does not tell it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of traces.

    Attributes:
        name: in scenarios.
        expected: what a line looks like, for error messages.
        recognise: whether a file's first line is of this format.
        read: yields the requests in the order of the file; raises `TraceError` and what opening and reading raise.
        tick_s: resolution of the times; requests are spread over it.
        ignores: what a trace has that is no request, in the plural; see `TraceReport`.
    """

    name: str
    expected: str
    recognise: Callable[[str], bool]
    read: Callable[[Reading], Iterator[Entry]]
    tick_s: float = 0.0
    ignores: str = ""


def by_line(parse: Callable[[str], Entry | None], header: str = "") -> Callable[[Reading], Iterator[Entry]]:
    """A reader of text with a request a line.

    Args:
        parse: see `Reading.entries`.
        header: a first line that is passed over.
    """

    def read(reading: Reading) -> Iterator[Entry]:
        with opened(reading.path) as lines:
            if header and first_line(reading.path).strip() == header:
                next(lines)
                yield from reading.entries(lines, parse, first_line=2)
            else:
                yield from reading.entries(lines, parse)

    return read


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The text of a file, plain or compressed with gzip; bytes that are not UTF-8 become U+FFFD.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        stream = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
        with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="") as text:
            yield text


def first_line(path: Path) -> str:
    """The beginning of a file: its first line, or as much of it as tells formats apart.

    Raises:
        OSError, EOFError: the file cannot be read.
    """
    with opened(path) as text:
        return text.readline(65_536)
