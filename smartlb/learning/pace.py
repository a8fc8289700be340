"""Little's law: what a backend has in flight, against what ends there, shows that it stalls before its requests end.

A request that hangs teaches nothing until it times out; that it is still in flight can be seen at once.
"""

from math import exp, log, sqrt

from smartlb.learning.drift import MOST_REQUESTS, cut

NOW_S = 0.4
"""Time constant of what is the case now: long enough for some requests, short enough for a change to show."""

USUAL_S = 8.0
"""Time constant of what is usual."""

FURTHEST = 8.0
"""Largest slow-down that is believed from so little time."""


class Ratio:
    """The ratio of two sums whose older terms count less; near 1 as long as they are small.

    Args:
        memory_s: the time constant.
    """

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._above = self._below = 0.0

    def add(self, above: float, below: float, elapsed_s: float) -> None:
        """Take in a tick of this length."""
        kept = exp(-elapsed_s / self._memory_s)
        self._above = self._above * kept + above
        self._below = self._below * kept + below

    @property
    def value(self) -> float:
        """The ratio, as if both sums were larger by 1."""
        return (self._above + 1.0) / (self._below + 1.0)


class Pace:
    """How fast requests end: N in flight, at a latency of L, end at a rate of N / L.

    What counts is how this compares with what is usual at the backend, as not all of the time in flight is latency: a
    long download goes on for long after its first byte.
    """

    def __init__(self) -> None:
        self._due = self._ended = self._since_s = 0.0
        self._usual = Ratio(USUAL_S)
        self._now = Ratio(NOW_S)

    def add(self, due: float, ended: float, elapsed_s: float, span_s: float) -> float | None:
        """Take in a tick.

        Args:
            due: how many requests should have ended by the model.
            ended: how many did.
            elapsed_s: length of the tick.
            span_s: least time to judge by, such as the usual latency: neighbouring shorter ones share their luck.

        Returns:
            By how much fewer than usual ended, in standard deviations; None until a span is over.
        """
        self._due += due / self._usual.value
        self._ended += ended
        self._since_s += elapsed_s
        self._usual.add(due, ended, elapsed_s)
        self._now.add(due, ended, elapsed_s)
        if self._since_s < span_s:
            return None
        due_usually, ended = self._due, self._ended
        self._due = self._ended = self._since_s = 0.0
        # Half a request more on both sides, as none at all has no logarithm.
        ratio = (due_usually + 0.5) / (ended + 0.5)
        return cut(log(ratio) * sqrt(min(max(due_usually, ended), MOST_REQUESTS)))

    @property
    def slowness(self) -> float:
        """How many times longer than usual requests take now."""
        return min(self._now.value / self._usual.value, FURTHEST)
