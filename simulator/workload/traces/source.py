"""A trace as a scenario names it, and the way into it."""

import os
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, first_line
from simulator.workload.traces.reading import Reading, TraceError, TraceMissing, TraceReport
from simulator.workload.traces.registry import FORMATS, recognise
from simulator.workload.traces.table import Table
from smartlb.config.problems import unknown_name


class TraceSource(Table):
    """Where a trace is, and how it is read."""

    path: str = Field(
        min_length=1,
        description="A file, plain or compressed with gzip, or a folder of azure_functions; relative to the scenario's "
        "folder. ~ and ${VARIABLE} are expanded.",
    )
    format: str | None = Field(
        default=None, description="How to read it; by the first line where not given.", examples=list(FORMATS)
    )
    reorder_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How much too late a request may stand: logs are written when requests end. Those of such a time "
        "are held in memory.",
    )
    malformed_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of lines that may be malformed, besides the first ten of them; 0 to allow none at all.",
    )
    requests: int | None = Field(default=None, ge=2, description="Only the first so many; all where not given.")
    fetch: str = Field(default="", description="Where to get the trace, for those who do not have it.")

    @field_validator("format")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in FORMATS:
            raise ValueError(unknown_name("trace format", name, FORMATS))
        return name


class Trace:
    """A trace that is there, in a known format.

    Args:
        source: of the scenario.
        folder: that of the scenario's file.

    Raises:
        TraceError: there is no such trace, or none in a known format.

    Attributes:
        path: the file or folder.
        format: how it is read.
    """

    def __init__(self, source: TraceSource, folder: Path) -> None:
        self._source = source
        self.path = located(source, folder)
        self.format = FORMATS[source.format] if source.format else self._recognised()

    def entries(self, rng: np.random.Generator, needs_duration: bool = False) -> tuple[Iterator[Entry], TraceReport]:
        """One pass: the requests in the trace's order, and a report that grows with them.

        Args:
            rng: for formats that leave something open.
            needs_duration: whether a request of unknown duration is malformed.

        Raises:
            TraceError: while the requests are taken: the trace cannot be read, is not in order, has too many malformed
                lines, or holds no request.
        """
        report = TraceReport(self.path, self.format.name, ignores=self.format.ignores)
        source = self._source
        reading = Reading(
            report, self.format.expected, source, rng, source.reorder_s, source.malformed_share, needs_duration
        )
        return self._pass(reading), report

    def _pass(self, reading: Reading) -> Iterator[Entry]:
        try:
            yield from islice(self.format.read(reading), self._source.requests)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from None
        if not reading.report.entries:
            raise reading.nothing()

    def _recognised(self) -> Format:
        if self.path.is_dir():
            return FORMATS["azure_functions"]
        try:
            line = first_line(self.path)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from None
        found = recognise(line)
        if found is None:
            beginning = f"its first line is {line.strip()[:120]!r}" if line.strip() else "it has no first line"
            raise TraceError(
                f"{self.path}: not recognised as any trace format; {beginning}. Name the `format` "
                f"(one of: {', '.join(FORMATS)})"
            )
        return found

    def _unreadable(self, error: Exception) -> TraceError:
        return TraceError(f"{self.path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def located(source: TraceSource, folder: Path) -> Path:
    """Where a trace is.

    Raises:
        TraceMissing: it is not there.
    """
    fetch = f". {source.fetch}" if source.fetch else ""
    # Only what is in braces: a lone dollar sign is a good character in a file's name.
    names = re.findall(r"\$\{(\w+)\}", source.path)
    if unset := [name for name in names if not os.environ.get(name)]:
        raise TraceMissing(f"trace {source.path}: the environment variable {unset[0]} is not set{fetch}")
    path = folder / Path(re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found[1]], source.path)).expanduser()
    if not path.exists():
        raise TraceMissing(f"trace {path}: there is no such file or folder{fetch}")
    return path
