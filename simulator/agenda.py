"""What is to be done when, off the data path: a heap of times and callbacks; those of one time run in their order."""

import heapq
from collections.abc import Callable
from math import inf


class Agenda:
    """Duties in simulated time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0

    def at(self, time_s: float, duty: Callable[[float], None]) -> None:
        """Have `duty` called with the time, at that time."""
        heapq.heappush(self._heap, (time_s, self._serial, duty))
        self._serial += 1

    def every(self, interval_s: float, duty: Callable[[float], None], first_s: float = 0.0) -> None:
        """Have `duty` called again and again."""

        def run(now_s: float) -> None:
            duty(now_s)
            self.at(now_s + interval_s, run)

        self.at(first_s, run)

    @property
    def next_s(self) -> float:
        """When the next duty is due; infinity for none."""
        return self._heap[0][0] if self._heap else inf

    def run_due(self) -> None:
        """Do all that is due at `next_s`."""
        now_s = self.next_s
        while self._heap and self._heap[0][0] <= now_s:
            _, _, duty = heapq.heappop(self._heap)
            duty(now_s)
