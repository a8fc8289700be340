"""One pass through a trace: what each format's reader is given, and the rules they share."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.table import Table

Record = TypeVar("Record")

ALWAYS_PASSED_OVER = 10
"""So many malformed lines never end a pass, however short the trace is by then."""

_EXCERPT = 120


class TraceError(ValueError):
    """A trace cannot be replayed; the message says where, what was expected and what was found."""


@dataclass(slots=True)
class TraceReport:
    """What a pass through a trace has met.

    Attributes:
        path: the file or folder.
        format: its name in the registry.
        lines: lines, rows or records, a header among them.
        entries: requests that were taken.
        malformed: lines that were passed over because they are not of the format, or hold impossible values.
        ignored: what was passed over for the reason that `ignores` gives.
        ignores: what a trace of this format has that is no request; empty for nothing.
    """

    path: Path
    format: str
    lines: int = 0
    entries: int = 0
    malformed: int = 0
    ignored: int = 0
    ignores: str = ""

    def __str__(self) -> str:
        left_out = [f"{self.malformed:,} malformed lines"] if self.malformed else []
        left_out += [f"{self.ignored:,} {self.ignores}"] if self.ignored else []
        return f"{self.format} {self.path.name}: {self.entries:,} requests" + (
            f"; left out: {', '.join(left_out)}" if left_out else ""
        )


class Reading:
    """Checks and counts what a format's reader gets from a trace.

    A malformed line is passed over and counted. The pass ends with a `TraceError` at the line with which there are more
    than ten of them and more than `malformed_share` of all lines so far; with a share of 0, at the first one. So does
    it at a line whose request came more than `reorder_s` before the latest one so far.

    Args:
        report: to be filled in.
        expected: what a line looks like, for error messages.
        table: names and units of columns.
        rng: for formats that leave something open.
        reorder_s: how much earlier than the latest request so far one may have come.
        malformed_share: bound of malformed lines among all lines.
        needs_duration: whether a request of unknown duration is malformed.
    """

    def __init__(
        self,
        report: TraceReport,
        expected: str,
        table: Table,
        rng: np.random.Generator,
        reorder_s: float,
        malformed_share: float,
        needs_duration: bool,
    ) -> None:
        self.report = report
        self.table = table
        self.rng = rng
        self._expected = expected
        self._reorder_s = reorder_s
        self._malformed_share = malformed_share
        self._needs_duration = needs_duration
        self._first_complaint = ""
        self._latest_s = -math.inf

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.report.path

    def entries(
        self,
        records: Iterable[Record],
        parse: Callable[[Record], Entry | None],
        first_line: int = 1,
        line: Callable[[], int] | None = None,
    ) -> Iterator[Entry]:
        """The requests that `records` hold.

        Args:
            records: such as lines of text.
            parse: gives the request of a record, or None for a record that holds none; a `ValueError`, `LookupError`,
                `TypeError` or the like says that it is malformed, a `Malformed` also why.
            first_line: number of the first record.
            line: gives the present line's number, where records are not lines.
        """
        report = self.report
        needs_duration, reorder_s, latest_s = self._needs_duration, self._reorder_s, self._latest_s
        earliest_s = latest_s - reorder_s
        infinite = math.inf
        number = first_line - 1
        taken = ignored = 0
        try:
            for number, record in enumerate(records, first_line):
                try:
                    entry = parse(record)
                except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                    self.reject(line() if line else number, record, error)
                    continue
                if entry is None:
                    ignored += 1
                    continue
                at_s, _, duration_s, asked, answered, tokens_in, tokens_out, _, _ = entry
                if not (
                    0 <= at_s < infinite
                    and (0 <= duration_s < infinite or (duration_s != duration_s and not needs_duration))
                    and 0 <= asked < infinite
                    and 0 <= answered < infinite
                    and 0 <= tokens_in < infinite
                    and 0 <= tokens_out < infinite
                ):
                    self.reject(line() if line else number, record, _objection(entry))
                    continue
                if at_s < earliest_s:
                    here = line() if line else number
                    raise TraceError(
                        f"{self.path}:{here}: this request came {latest_s - at_s:,.6g} s before the latest one so far, "
                        f"but a trace must be in order to within {self._reorder_s:g} s; sort it "
                        "by time, or raise `reorder_s`"
                    )
                if at_s > latest_s:
                    latest_s = at_s
                    earliest_s = at_s - reorder_s
                taken += 1
                yield entry
        finally:
            self._latest_s = latest_s
            report.lines = max(report.lines, line() if line else number)
            report.entries += taken
            report.ignored += ignored

    def reject(self, line: int, record: object, error: Exception, path: Path | None = None) -> None:
        """Count a malformed record, of another file than `Reading.path` where `path` is given.

        Raises:
            TraceError: there are too many of them.
        """
        text = ",".join(map(str, record)) if isinstance(record, list | tuple) else str(record)
        if not text.strip():
            return  # nothing is wrong with an empty line
        reason = f"{error}; " if isinstance(error, Malformed) else ""
        excerpt = text.strip()[:_EXCERPT]
        complaint = f"{path or self.path}:{line}: {reason}expected {self._expected}; found {excerpt!r}"
        self._first_complaint = self._first_complaint or complaint
        report = self.report
        report.malformed += 1
        report.lines = max(report.lines, line)
        share = self._malformed_share
        if not share:
            raise TraceError(f"{complaint}. `malformed_share: 0` allows no malformed line")
        if report.malformed > max(ALWAYS_PASSED_OVER, share * report.lines):
            raise TraceError(
                f"{complaint}. {report.malformed} of {report.lines} lines so far are malformed (the first: "
                f"{self._first_complaint}), more than `malformed_share: {share:g}` allows. Is the format "
                f"{report.format!r} the right one?"
            )

    def nothing(self) -> TraceError:
        """The error of a trace that holds no request."""
        report = self.report
        why = f"; {self._first_complaint}" if self._first_complaint else ""
        why += f"; {report.ignored:,} {report.ignores} were left out" if report.ignored else ""
        return TraceError(f"{self.path}: the trace holds no request (format {report.format!r}){why}")


class TraceMissing(TraceError):
    """A trace is not where it is looked for."""


class Malformed(ValueError):
    """A record whose values cannot be; the message says which."""


def _objection(entry: Entry) -> Malformed:
    for name, value in zip(entry._fields, entry, strict=True):
        if isinstance(value, float | int) and not 0 <= value < math.inf:
            if name == "duration_s" and math.isnan(value):
                return Malformed(
                    "the duration is not known, but `cost` has per_recorded_second; where a trace has no durations, "
                    "let its cost follow from what it has, such as cost: {base_ms: 2, per_kilobyte_ms: 0.1}"
                )
            return Malformed(f"{name} is {value:g}, but must be a number from 0 on")
    return Malformed("impossible values")
