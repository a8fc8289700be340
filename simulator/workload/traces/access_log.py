"""access_log: the router's own access log, a JSON object a line (docs/operations.md)."""

import json

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN, Format, by_line


def _parse(line: str) -> Entry | None:
    record = json.loads(line)
    if record["attempt"] != 1:
        return None
    total_ms = record["total_ms"]
    return Entry(
        float(record["arrival_s"]),
        str(record["request_class"]) if record["request_class"] else None,
        UNKNOWN if total_ms is None else total_ms / 1e3,
        float(record["request_bytes"]),
        float(record["response_bytes"]),
        0,
        0,
        str(record["client"]),
        str(record["target"]),
    )


FORMAT = Format(
    name="access_log",
    expected='a line of the router\'s access log, such as {"time":...,"arrival_s":...,"total_ms":...,"attempt":1}',
    recognise=lambda line: line.startswith("{") and '"arrival_s"' in line,
    read=by_line(_parse),
    ignores="further attempts at a request",
)
