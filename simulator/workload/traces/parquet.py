"""parquet: tables of Apache Parquet, by pyarrow."""

from collections.abc import Iterator
from importlib import import_module
from itertools import repeat
from typing import Any

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format
from simulator.workload.traces.reading import Reading, TraceError
from simulator.workload.traces.row import columns, parser
from simulator.workload.traces.table import Found, Table

_ROWS = 16_384
_TEXTS = ("request_class", "client", "target")


def _read(reading: Reading) -> Iterator[Entry]:
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        import_module("pyarrow.compute")
    except ImportError:
        raise TraceError(
            f"{reading.path}: parquet needs pyarrow, which is not there; pip install 'smartlb[sim]'"
        ) from None
    try:
        with parquet.ParquetFile(reading.path) as file:
            found = columns(reading.path, reading.table, file.schema_arrow.names)
            names = [file.schema_arrow.names[place] for place in found if place is not None]
            table = reading.table
            for field, unit in (("at", "at_unit"), ("duration", "duration_unit")):
                place = getattr(found, field)
                # A column of times or durations knows its unit itself.
                known = None if place is None else getattr(file.schema_arrow.types[place], "unit", None)
                if known:
                    table = table.model_copy(update={unit: known})
            # Row by row, all of what a request may have, in order.
            parse = parser(Found(*range(len(found))), len(found), table)
            line = 1
            for batch in file.iter_batches(_ROWS, columns=list(dict.fromkeys(names))):
                cells = [
                    repeat("") if place is None else _values(arrow, batch, file.schema_arrow.names[place], field, table)
                    for field, place in zip(found._fields, found, strict=True)
                ]
                yield from reading.entries(zip(*cells, strict=False), parse, first_line=line)
                line += batch.num_rows
    except arrow.ArrowException as error:
        raise TraceError(f"{reading.path}: cannot be read as parquet: {error}") from None


def _values(arrow: Any, batch: Any, name: str, field: str, table: Table) -> list[Any]:
    column = batch.column(name)
    if field in _TEXTS or (field == "at" and table.at_unit == "iso"):
        texts: list[Any] = column.cast(arrow.string()).fill_null("").to_pylist()
        return texts
    if arrow.types.is_temporal(column.type):
        column = column.cast(arrow.int64())
    missing = float("nan") if field in ("at", "duration") else 0.0
    numbers: list[Any] = column.cast(arrow.float64()).fill_null(missing).to_pylist()
    return numbers


FORMAT = Format(
    name="parquet",
    expected="a row with numbers where `columns` has numbers",
    recognise=lambda line: line.startswith("PAR1"),
    read=_read,
)
