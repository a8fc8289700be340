"""common_log: the Common Log Format of web servers, in Apache's words ``%h %l %u %t "%r" %>s %b`` (mod_log_config)."""

import re

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN, Format, by_line
from simulator.workload.traces.request_line import is_request, target_of
from simulator.workload.traces.timestamps import log_s

# Servers of old did not escape quotes in requests.
_LINE = re.compile(r'(\S+) [^\[]*\[([^\]]+)\] "(.*)" (?:\d{3}|-) (\d+|-)\s*')


def _parse(line: str) -> Entry | None:
    client, at, request, size = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
    if not is_request(request):
        return None
    size = 0 if size == "-" else int(size)
    return Entry(log_s(at), None, UNKNOWN, 0, size, 0, 0, client, target_of(request))


FORMAT = Format(
    name="common_log",
    expected='HOST IDENT USER [01/Aug/1995:06:00:00 +0000] "GET /path HTTP/1.0" STATUS BYTES',
    recognise=lambda line: _LINE.fullmatch(line) is not None,
    read=by_line(_parse),
    tick_s=1.0,
    ignores="connections without a request",
)
