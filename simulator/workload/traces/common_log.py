"""common_log: the Common Log Format of web servers, in Apache's words ``%h %l %u %t "%r" %>s %b`` (mod_log_config)."""

import re

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, by_line
from simulator.workload.traces.request_line import logged

# Servers of old did not escape quotes in requests.
_LINE = re.compile(r'(\S+) [^\[]*\[([^\]]+)\] "(.*)" (?:\d{3}|-) (\d+|-)\s*')


def _parse(line: str) -> Entry | None:
    return logged(*_LINE.fullmatch(line).groups())  # type: ignore[union-attr]


FORMAT = Format(
    name="common_log",
    expected='HOST IDENT USER [01/Aug/1995:06:00:00 +0000] "GET /path HTTP/1.0" STATUS BYTES',
    recognise=lambda line: _LINE.fullmatch(line) is not None,
    read=by_line(_parse),
    tick_s=1.0,
    ignores="connections without a request",
)
