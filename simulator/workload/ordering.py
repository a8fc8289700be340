"""Requests in the order of their arrival, and in arrays of one size."""

from collections.abc import Iterator

import numpy as np

from simulator.workload.request import REQUEST, Requests
from simulator.workload.traces.reading import TraceError

MOST_WAITING = 4_000_000
"""Requests that are held at most (220 MB) because earlier ones may still come."""


def in_order(blocks: Iterator[Requests], late_s: float, rows: int) -> Iterator[Requests]:
    """Sort requests by arrival; those that arrive together keep their order.

    Args:
        blocks: in which no request arrives more than `late_s` before one that stands before it.
        late_s: for so long a request is held.
        rows: least number of requests to sort at once.

    Raises:
        TraceError: too many would have to be held.
    """
    waiting = np.empty(0, REQUEST)
    fresh: list[Requests] = []
    count = 0
    for block in blocks:
        fresh.append(block)
        count += len(block)
        if count < max(rows, len(waiting)):  # so that none is sorted more often than a few times
            continue
        waiting = _sorted(waiting, fresh)
        fresh, count = [], 0
        ready = int(np.searchsorted(waiting["at_s"], waiting["at_s"][-1] - late_s))
        if len(waiting) - ready > MOST_WAITING:
            raise TraceError(
                f"more than {MOST_WAITING:,} requests came within {late_s:g} s and would have to be held in memory; "
                "lower `reorder_s`, or sort the trace and set it to 0"
            )
        if ready:
            yield waiting[:ready]
            waiting = waiting[ready:].copy()
    if len(waiting := _sorted(waiting, fresh)):
        yield waiting


def _sorted(waiting: Requests, fresh: list[Requests]) -> Requests:
    requests = np.concatenate([waiting, *fresh])
    return requests[np.argsort(requests["at_s"], kind="stable")]


def of_size(blocks: Iterator[Requests], rows: int) -> Iterator[Requests]:
    """The same requests in arrays of `rows` each; the last may have fewer, none is empty."""
    kept: list[Requests] = []
    count = 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count >= rows:
            joined = np.concatenate(kept)
            whole = count - count % rows
            yield from np.split(joined[:whole], range(rows, whole, rows))
            kept, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(kept)
