"""What happens to a request by chance, drawn before any policy sees it."""

import numpy as np

from simulator.streams import Stream
from simulator.workload.request import Requests


class Chance:
    """Fills in a request's own draws, and the router to which it comes.

    Args:
        stream: random generators by name.
        routers: how many there are, all alike.
        unread: columns that need no draws.
    """

    def __init__(self, stream: Stream, routers: int, unread: frozenset[str]) -> None:
        self._draws = [(f"{name}_draw", stream(name)) for name in ("fail", "tail") if f"{name}_draw" not in unread]
        self._router = stream("router")
        self._routers = routers

    def fill(self, requests: Requests) -> None:
        """Fill the columns ``fail_draw``, ``tail_draw`` and ``router`` of the next requests."""
        count = len(requests)
        for column, rng in self._draws:
            requests[column] = rng.random(count, dtype=np.float32)
        if self._routers > 1:
            requests["router"] = self._router.random(count) * self._routers
