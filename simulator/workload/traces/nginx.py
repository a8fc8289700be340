"""nginx: its access log in format combined, to which a site may have added texts in quotes and ``$request_time``.

nginx writes a line, and takes its time, when a request ends: where ``$request_time`` is there, the request came by so
much earlier (ngx_http_log_module, ngx_http_core_module).
"""

import re

from simulator.workload.traces.combined_log import BEGINNING, QUOTED
from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN, Format, by_line
from simulator.workload.traces.request_line import is_request, target_of
from simulator.workload.traces.timestamps import log_s

_LINE = re.compile(BEGINNING + rf'(?: {QUOTED})*?(?: "?(?:\w+=)?(\d+\.\d+)"?)?\s*')


def _parse(line: str) -> Entry | None:
    client, at, request, size, seconds = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
    if not is_request(request):
        return None
    size = 0 if size == "-" else int(size)
    ended_s = log_s(at)
    if seconds is None:
        return Entry(ended_s, None, UNKNOWN, 0, size, 0, 0, client, target_of(request))
    took_s = float(seconds)
    return Entry(ended_s - took_s, None, took_s, 0, size, 0, 0, client, target_of(request))


FORMAT = Format(
    name="nginx",
    expected='HOST - USER [06/Feb/2009:12:14:14 +0000] "GET /path HTTP/1.1" STATUS BYTES "REFERRER" "AGENT" 0.005',
    recognise=lambda line: _LINE.fullmatch(line) is not None,
    read=by_line(_parse),
    tick_s=1.0,
    ignores="connections without a request",
)
