"""What waits for room in a pool, in one worker.

A pool's limits hold for all workers together, but each worker has a queue of its own. If the place of a request that
ends always went to the queue of the same worker, the others' might wait for ever. So where several workers have a
queue, the place is left to whoever looks first, and each looks often.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

_LOOK_AGAIN_S: Final = 0.002
"""Mean time between two looks for room that other workers have left."""


class Waiting(Protocol):
    """What can wait for a backend with room: a request, a TCP connection, a UDP session."""

    @property
    def priority(self) -> int:
        """Who has a higher one goes first."""

    @property
    def tried(self) -> Sequence[int]:
        """Positions of backends that it will not go to again."""

    def dispatch_from_queue(self) -> bool:
        """Try again now that there may be room; False when there is none yet."""

    def displaced(self) -> None:
        """Something else has taken the place in the queue."""


class WaitQueue(deque[Waiting]):
    """A queue by priority, and then in the order of arrival; a deque, as each request asks whether anything is in it.

    Args:
        most: how many may wait.
        shared: int32 ``[workers]``; how many wait for the same pool in each worker. The queue keeps its own entry.
        worker: whose queue it is.
        loop: of the worker.
        random: spreads the looks of the workers.
    """

    def __init__(
        self, most: int, shared: npt.NDArray[np.int32], worker: int, loop: asyncio.AbstractEventLoop, random: Random
    ) -> None:
        super().__init__()
        self._most = most
        self._shared = shared
        self._worker = worker
        self._alone = len(shared) == 1
        self._loop = loop
        self._random = random.random
        self._looks = False

    @property
    def goes_first(self) -> bool:
        """Whether a newcomer has to wait too, although there may be room.

        Not behind those that will not go to some backend again: they may wait for another one than the newcomer.
        """
        return bool(self) and not self[0].tried

    def put(self, entry: Waiting) -> bool:
        """Have something wait, for which one of lower priority may have to go; False when the queue is full."""
        priority, last = entry.priority, None
        if len(self) >= self._most:
            if not self or self[-1].priority >= priority:
                return False
            last = self.pop()
        at = len(self)
        while at and self[at - 1].priority < priority:
            at -= 1
        self.insert(at, entry)
        self._say_how_many()
        if last is not None:
            # Only now: its client's next request may want a place too.
            last.displaced()
        return True

    def remove(self, entry: Waiting) -> None:
        """Something waits no more."""
        super().remove(entry)
        self._say_how_many()

    def place_free(self) -> None:
        """A request has ended in this worker."""
        if self and (self._alone or self._shared.sum() == self._shared[self._worker]):
            self.serve()

    def serve(self) -> None:
        """Dispatch as many as there is room for."""
        held: list[Waiting] = []
        turns = len(self)
        while self and turns:  # what is dispatched may displace others
            turns -= 1
            entry = self.popleft()
            if not entry.dispatch_from_queue():
                held.append(entry)
                if not entry.tried:
                    break
        self.extendleft(reversed(held))
        self._say_how_many()

    def _say_how_many(self) -> None:
        self._shared[self._worker] = len(self)
        if self and not self._alone and not self._looks:
            self._looks = True
            self._loop.call_later(_LOOK_AGAIN_S * (0.5 + self._random()), self._look)

    def _look(self) -> None:
        self._looks = False
        self.serve()
