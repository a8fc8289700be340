"""What was learned before a restart, on trial: it is dropped where the first answers contradict it.

A fleet may have changed meanwhile: backends have changed places, a class of requests has become another one. By what
was known requests may then go where they take longest, and once queues are long it is long until the next answers.
"""

from smartlb.learning.cells import Cell

LASTS_S = 3.0
"""For how long after the first answer."""

REQUESTS = 4.0
"""Answers per backend that are enough to decide by."""

WRONG = 2.0
"""Latencies this many times what was expected contradict it, in the mean over all backends and classes."""


class Trial:
    """Compares the first latencies with what was expected of them.

    Args:
        backends: how many the pool has.
    """

    def __init__(self, backends: int) -> None:
        self._enough = REQUESTS * backends
        self._requests = self._actual_s = self._expected_s = self._elapsed_s = 0.0

    def add(self, answers: list[tuple[Cell, float]], elapsed_s: float) -> None:
        """Take in a tick: what came in, each with the latency expected of it."""
        for cell, expected_s in answers:
            self._requests += cell.requests
            self._actual_s += cell.latency_s * cell.requests
            self._expected_s += expected_s * cell.requests
        if self._requests:
            self._elapsed_s += elapsed_s

    @property
    def contradicted(self) -> bool:
        """Whether what was known is wrong."""
        return self._requests >= self._enough and self._actual_s > WRONG * self._expected_s

    @property
    def over(self) -> bool:
        """Whether it has held."""
        return self._elapsed_s > LASTS_S
