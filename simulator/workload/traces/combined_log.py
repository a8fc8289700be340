"""combined_log: the Common Log Format with referrer and user agent, as Apache and nginx write it by default."""

import re

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, by_line
from simulator.workload.traces.request_line import logged

_TEXT = r'[^"\\]*(?:\\.[^"\\]*)*'

QUOTED = f'"{_TEXT}"'
"""A text in quotes, in which further quotes are escaped."""

BEGINNING = rf'(\S+) [^\[]*\[([^\]]+)\] "({_TEXT})" (?:\d{{3}}|-) (\d+|-) {QUOTED} {QUOTED}'
"""Client, time, request line and size are groups."""

_LINE = re.compile(BEGINNING + r"\s*")


def _parse(line: str) -> Entry | None:
    return logged(*_LINE.fullmatch(line).groups())  # type: ignore[union-attr]


FORMAT = Format(
    name="combined_log",
    expected='HOST IDENT USER [06/Feb/2009:12:14:14 +0000] "GET /path HTTP/1.1" STATUS BYTES "REFERRER" "AGENT"',
    recognise=lambda line: _LINE.fullmatch(line) is not None,
    read=by_line(_parse),
    tick_s=1.0,
    ignores="connections without a request",
)
