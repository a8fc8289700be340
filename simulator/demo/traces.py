"""Recorded traces, read line by line: Azure's LLM inference traces and web servers' Common Log Format."""

import gzip
import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simulator.demo.workload import Workload

MOST_WORK = 8.0
"""Bound on a request's work, in units of the mean: the tail stays heavy, no one request decides the p99."""


class TraceError(ValueError):
    """A trace cannot be replayed; the message says why and what would do."""


class Entry(NamedTuple):
    """A recorded request: when, its class by index, and its work in any unit."""

    at_s: float
    request_class: int
    work: float


@dataclass(frozen=True, slots=True)
class Format:
    """A format of traces.

    Attributes:
        name: for the report.
        recognise: whether a file's first line is of this format.
        parse: an entry from a line; None for a line that holds none.
        classes: names of the request classes.
        affine: the one of them at which specialised servers are faster.
        tick_s: resolution of the times; arrivals are spread over it.
        rule: how classes and work follow from the record, for the report.
    """

    name: str
    recognise: Callable[[str], bool]
    parse: Callable[[str], Entry | None]
    classes: tuple[str, ...]
    affine: str
    tick_s: float
    rule: str


_LONG_CONTEXT = 2048
_LLM_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def _llm_entry(line: str) -> Entry | None:
    try:
        timestamp, context, generated = line.split(",")
        at_s = datetime.fromisoformat(timestamp).timestamp()
        tokens = int(context), int(generated)
    except ValueError:
        return None
    return Entry(at_s, int(tokens[0] >= _LONG_CONTEXT), float(sum(tokens)))


_CLF = re.compile(r'\S+ \S+ \S+ \[([^\]]+)\] "(?:\S+ )?(\S*)[^"]*" \d{3} (\d+|-)')
_IMAGE = re.compile(r"\.(gif|jpe?g|png|xbm|ico|svg|webp)$", re.IGNORECASE)


def _clf_entry(line: str) -> Entry | None:
    found = _CLF.match(line)
    if not found:
        return None
    try:
        at_s = datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except ValueError:
        return None
    size = 0 if found[3] == "-" else int(found[3])
    return Entry(at_s, int(not _IMAGE.search(found[2].partition("?")[0])), 1 + math.log2(1 + size / 1024))


FORMATS = (
    Format(
        name="Azure LLM inference trace",
        recognise=lambda line: line.strip() == _LLM_HEADER,
        parse=_llm_entry,
        classes=("short", "long"),
        affine="long",
        tick_s=0.0,
        rule=f"work follows the tokens, read and generated; class long reads {_LONG_CONTEXT} or more",
    ),
    Format(
        name="Common Log Format",
        recognise=lambda line: _CLF.match(line) is not None,
        parse=_clf_entry,
        classes=("image", "page"),
        affine="page",
        tick_s=1.0,
        rule="work grows with the logarithm of the bytes; image by the path's ending",
    ),
)


def read(path: Path, seconds: float, rate: float, seed: int) -> Workload:
    """The beginning of a trace, with time scaled to reach `rate`.

    Only as much of the file is read as the replay needs; a trace that is too short for it is replayed again.

    Args:
        path: a file of one of `FORMATS`, plain or compressed with gzip.
        seconds: how long the replay is.
        rate: mean number of requests a second.
        seed: of the draws that spread arrivals over coarse ticks.

    Raises:
        TraceError: the file cannot be read, is of no known format, or holds too little.
    """
    try:
        with _lines(path) as lines:
            trace, entries = _entries(path, lines)
            recorded = list(islice(entries, max(1, round(seconds * rate))))
    except (OSError, EOFError) as error:
        raise TraceError(f"cannot read the trace {path}: {getattr(error, 'strerror', None) or error}") from None
    return _workload(path, trace, recorded, seconds, rate, seed)


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace") as text:
            yield text


def _entries(path: Path, lines: Iterator[str]) -> tuple[Format, Iterator[Entry]]:
    first = next(lines, "")
    for trace in FORMATS:
        if trace.recognise(first):
            parsed = map(trace.parse, chain((first,), lines))
            return trace, (entry for entry in parsed if entry is not None)
    raise TraceError(
        f"{path}: not a trace that the demo understands. Its first line is {first.strip()[:60]!r}; "
        f"expected an Azure LLM inference trace (first line {_LLM_HEADER}) or an access log in Common Log "
        "Format, either of them plain or compressed with gzip"
    )


def _workload(path: Path, trace: Format, recorded: list[Entry], seconds: float, rate: float, seed: int) -> Workload:
    wanted = max(1, round(seconds * rate))
    at_s = np.array([entry.at_s for entry in recorded])
    at_s += np.random.default_rng(seed).uniform(0, trace.tick_s, len(at_s)) if trace.tick_s else 0.0
    order = np.argsort(at_s, kind="stable")
    at_s = at_s[order] - (at_s.min() if len(at_s) else 0.0)
    if len(at_s) < 2 or at_s[-1] <= 0:
        raise TraceError(f"{path}: {len(at_s)} requests in no time at all; a replay needs two or more, apart in time")
    # One mean gap follows the last request, so that a repetition goes on at the same rate.
    span_s = float(at_s[-1]) * len(at_s) / (len(at_s) - 1)
    rounds = -(-wanted // len(at_s))
    at_s = np.concatenate([at_s + span_s * turn for turn in range(rounds)])[:wanted]
    speedup = span_s * wanted / len(recorded) / seconds
    work = np.array([entry.work for entry in recorded])[order]
    work = np.minimum(work / max(float(work.mean()), 1e-9), MOST_WORK)
    request_class = np.array([entry.request_class for entry in recorded], dtype=np.uint8)[order]
    work = np.tile(work, rounds)[:wanted]
    again = f", replayed {rounds} times" if rounds > 1 else ""
    return Workload(
        source=f"{trace.name} {path.name}: the first {len(recorded):,} requests{again}; {trace.rule}",
        classes=trace.classes,
        affine=trace.affine,
        at_s=at_s / speedup,
        request_class=np.tile(request_class, rounds)[:wanted],
        work=work / work.mean(),
        speedup=speedup,
    )
