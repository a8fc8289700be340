"""csv: any comma-separated values whose first line names the columns."""

import csv
from collections.abc import Iterator

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, opened
from simulator.workload.traces.reading import Malformed, Reading
from simulator.workload.traces.row import columns, parser


def _read(reading: Reading) -> Iterator[Entry]:
    with opened(reading.path) as text:
        rows = csv.reader(text)
        header = [name.strip() for name in next(rows, [])]
        parse = parser(columns(reading.path, reading.table, header), len(header), reading.table)
        ended = False
        while not ended:
            try:
                yield from reading.entries(rows, parse, first_line=2, line=lambda: rows.line_num)
                ended = True
            except csv.Error as error:
                reading.reject(rows.line_num, error, Malformed("no comma-separated values"))


def _is_header(line: str) -> bool:
    names = [name.strip() for name in line.split(",")]
    return len(names) > 1 and all(name.replace("_", "").replace(" ", "").isalpha() for name in names)


FORMAT = Format(
    name="csv",
    expected="comma-separated values, as many as the first line has names, with numbers where `columns` has numbers",
    recognise=_is_header,
    read=_read,
)
