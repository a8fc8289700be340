"""haproxy: HAProxy's HTTP log (``option httplog``), with or without what syslog puts before it.

The times ``TR/Tw/Tc/Tr/Ta`` are milliseconds (HAProxy configuration manual, 8.2.3): waiting for the client's request,
queueing, connecting, the server's response headers, and all of it. The duration here is the time without the first two:
that which the server is to blame for. Accept dates have no time zone.
"""

import re

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, by_line
from simulator.workload.traces.request_line import is_request, target_of
from simulator.workload.traces.timestamps import log_s

_LINE = re.compile(
    r"(?:^|(?<=\s))(\S+):\d+ \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d)(\.\d+)\] "  # client, accept date
    r"\S+ \S+/\S+ (-?\d+)/(-?\d+)/-?\d+/-?\d+/\+?(\d+) "  # frontend, backend/server, times
    r'(?:-?\d+) \+?(\d+) [^"]*"(.*)'  # status, bytes, and at last the request
)


def _parse(line: str) -> Entry | None:
    client, at, fraction, asking, queueing, total, size, request = _LINE.search(line.rstrip()).groups()  # type: ignore[union-attr]
    request = request.removesuffix('"')  # which is not there where syslog has cut the line
    if not is_request(request):
        return None
    # A time of -1 is one that was not reached.
    took_ms = int(total) - max(int(asking), 0) - max(int(queueing), 0)
    return Entry(
        log_s(at) + float(fraction), None, max(took_ms, 0) / 1e3, 0, int(size), 0, 0, client, target_of(request)
    )


FORMAT = Format(
    name="haproxy",
    expected="CLIENT:PORT [06/Feb/2009:12:14:14.655] FRONTEND BACKEND/SERVER TR/Tw/Tc/Tr/Ta STATUS BYTES ... "
    '"GET /path HTTP/1.1"',
    recognise=lambda line: _LINE.search(line) is not None,
    read=by_line(_parse),
    ignores="connections without a request",
)
