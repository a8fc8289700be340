"""A row of a table with named columns, as the request that it stands for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.reading import Malformed, TraceError
from simulator.workload.traces.table import PER_SECOND, Found, Table
from simulator.workload.traces.timestamps import iso_s

Row = Sequence[Any]
"""The values of a row, as text or as what they are."""


def columns(path: Path, table: Table, header: Sequence[str]) -> Found:
    """Which column holds what.

    Raises:
        TraceError: one is not there.
    """
    try:
        return table.found(header)
    except LookupError as error:
        raise TraceError(f"{path}: {error.args[0]}") from None


def parser(found: Found, width: int, table: Table) -> Callable[[Row], Entry]:
    """What gives the request of a row of `width` columns; an empty cell is a value that is not known."""
    # The place of a column that is not there is that of an empty cell, which is put behind the row.
    at, request_class, duration, asked, answered, tokens_in, tokens_out, client, target = (
        width if place is None else place for place in found
    )
    to_seconds: Callable[[Any], float] = iso_s if table.at_unit == "iso" else float
    at_per_second = 1.0 if table.at_unit == "iso" else PER_SECOND[table.at_unit]
    duration_per_second = PER_SECOND[table.duration_unit]
    empty = ("",)
    unknown = "nan"

    def parse(row: Row) -> Entry:
        if len(row) != width:
            raise Malformed(f"{len(row)} columns instead of {width}")
        cells = (*row, *empty)
        return Entry(
            to_seconds(cells[at]) / at_per_second,
            cells[request_class] or None,
            float(cells[duration] or unknown) / duration_per_second,
            float(cells[asked] or 0),
            float(cells[answered] or 0),
            float(cells[tokens_in] or 0),
            float(cells[tokens_out] or 0),
            cells[client],
            cells[target],
        )

    return parse
