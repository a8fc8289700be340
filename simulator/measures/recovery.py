"""How long a trouble shows in the latency of requests, and how long its end does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.result import Run, failed, latency_s

Floats = npt.NDArray[np.float64]

FACTOR: Final = 2.0
"""Latency is as before where at most 1 % of requests take longer than this many times the p99 before.

Less would take chance for trouble: the p99 of a thousand requests whose works are heavy-tailed differs by half now
and then while nothing at all has changed.
"""

SLOW: Final = 0.01
"""The share of slower requests that is as before: those beyond a p99."""

WINDOW_S: Final = 1.0
WINDOW_REQUESTS: Final = 500
"""Windows are at least `WINDOW_S` long, and as long as this many requests take to come: with a tail of 1 %, five."""

STEPS: Final = 8
"""Windows begin this many times per window's length, which is how finely a recovery is timed."""

HOLD_S: Final = 5.0
"""Latency has to stay as before for this long, or for a window if that is longer."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one trouble did.

    Attributes:
        name: of the trouble.
        starts_s, ends_s: when; None for an end that never comes.
        before_ms: p99 latency before it, the bound being `FACTOR` times this; None where nothing came before.
        recovery_s: seconds from its start until latency was as before, for good (see `seconds_until_back`); 0 where it
            never was otherwise, None where it was not until the run's end or there is no before.
        return_s: the same from the trouble's end on: how long it took to get used to its being over. None also for a
            trouble that did not end within the run.
    """

    name: str
    starts_s: float
    ends_s: float | None
    before_ms: float | None
    recovery_s: float | None
    return_s: float | None


def recoveries(run: Run) -> list[Recovery]:
    """Each trouble of a run.

    Latency before a trouble is that of the requests that arrived after the warm-up and outside any trouble that began
    earlier; where that leaves none, of those that arrived after the warm-up and before it.
    """
    requests = run.requests[np.argsort(run.requests["arrived_s"], kind="stable")]
    arrived_s = requests["arrived_s"]
    latency = np.where(failed(requests), inf, latency_s(requests))
    window_s = max(WINDOW_S, WINDOW_REQUESTS / run.rate)
    edges = sorted({edge for trouble in run.troubles for edge in (trouble.starts_s, trouble.ends_s)})
    found = []
    for trouble in run.troubles:
        before = arrived_s < trouble.starts_s
        quiet = before.copy()
        for other in run.troubles:
            if other.starts_s < trouble.starts_s:
                quiet &= (arrived_s < other.starts_s) | (arrived_s >= other.ends_s)
        p99_s = _p99(latency[quiet] if quiet.any() else latency[before])

        def back(edge_s: float, p99_s: float | None = p99_s) -> float | None:
            if p99_s is None or edge_s >= run.duration_s:
                return None
            until_s = min((other for other in edges if other > edge_s), default=inf)
            return seconds_until_back(
                arrived_s, latency, FACTOR * p99_s, edge_s, min(until_s, run.duration_s), run.duration_s, window_s
            )

        found.append(
            Recovery(
                name=trouble.name,
                starts_s=trouble.starts_s,
                ends_s=trouble.ends_s if isfinite(trouble.ends_s) else None,
                before_ms=p99_s * 1e3 if p99_s is not None and isfinite(p99_s) else None,
                recovery_s=back(trouble.starts_s),
                return_s=back(trouble.ends_s),
            )
        )
    return found


def _p99(latency: Floats) -> float | None:
    # Not interpolated: between a latency and a failure there is nothing.
    return float(np.percentile(latency, 99, method="higher")) if len(latency) else None


def seconds_until_back(
    arrived_s: Floats,
    latency_s: Floats,
    bound_s: float,
    starts_s: float,
    until_s: float,
    end_s: float,
    window_s: float = WINDOW_S,
    hold_s: float = HOLD_S,
) -> float | None:
    """From a time on, how long it takes until latency is within a bound, and stays there.

    Windows of `window_s` slide over the arrivals, beginning at `starts_s`. One is out of bounds where more than 1 % of
    the requests that arrived in it took longer than `bound_s`, or failed. Latency is back with the first window after
    an excursion that begins `hold_s` (or a window's length, if more) without another one.

    Args:
        arrived_s: ``[requests]``; ascending.
        latency_s: ``[requests]``; infinity for those that failed.
        bound_s: what is still well.
        starts_s: from when on.
        until_s: when something else begins; an excursion that no window before this time shows has another cause, and
            does not count. The first window always does.
        end_s: of the run; windows lie before it.
        window_s: how long a window is.
        hold_s: how long is for good.

    Returns:
        Seconds; 0.0 where latency never left, None where it was not back and steady by `end_s`.
    """
    step_s = window_s / STEPS
    begins_s = starts_s + step_s * np.arange(max(0, int(np.floor((end_s - window_s - starts_s) / step_s + 1e-9)) + 1))
    if not len(begins_s):
        return None
    first, last = np.searchsorted(arrived_s, begins_s), np.searchsorted(arrived_s, begins_s + window_s)
    slower = np.concatenate(([0], np.cumsum(latency_s > bound_s)))
    out = slower[last] - slower[first] > SLOW * (last - first)
    bad = np.flatnonzero(out)
    if not len(bad) or begins_s[bad[0]] > max(starts_s, until_s - window_s):
        return 0.0
    hold_s = max(hold_s, window_s)
    for this, following in pairwise([*bad.tolist(), None]):
        back_s = begins_s[this] + step_s
        steady_until_s = begins_s[following] if following is not None else end_s
        if steady_until_s - back_s >= hold_s:
            return float(back_s - starts_s)
    return None


def worst(found: Sequence[Recovery]) -> float | None:
    """The longest recovery of several; None where one never came, or where there was no trouble."""
    times = [each.recovery_s for each in found]
    return max((time for time in times if time is not None), default=None) if None not in times else None
