"""Which generations of processes there are: the present one, those that start, and those that drain."""

import asyncio
from collections.abc import Iterator
from functools import partial

from smartlb.control.generation import Generation


class Generations:
    """Keeps them, from their start until their processes have ended.

    Iterating goes over all of them, the present one first.

    Args:
        present: the first one.

    Attributes:
        present: that decides about backends, and whose numbers the counters have.
        starting: that are to take its place.
        draining: whose place another has taken.
    """

    def __init__(self, present: Generation) -> None:
        self.present = present
        self.starting: list[Generation] = []
        self.draining: list[Generation] = []
        self._running: dict[Generation, asyncio.Task[None]] = {}
        self._failed = asyncio.Event()
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Generation]:
        return iter([self.present, *self.starting, *self.draining])

    def start(self, generation: Generation) -> asyncio.Task[None]:
        """Start the processes of the present generation, or of one that is to be it; they run until the task ends."""
        if generation is not self.present:
            self.starting.append(generation)
        self._running[generation] = running = asyncio.create_task(generation.run())
        running.add_done_callback(partial(self._note_failure, generation))
        return running

    def _note_failure(self, generation: Generation, running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        if error is not None and generation is self.present and self._error is None:
            self._error = error
            self._failed.set()

    async def failure(self) -> None:
        """Wait until the present generation cannot be kept running, and so neither can the router.

        Raises:
            Exception: why.
        """
        await self._failed.wait()
        assert self._error is not None
        raise self._error

    def supersede(self, generation: Generation) -> Generation:
        """Make one that has started the present one; returns the one before, which is to drain."""
        earlier = self.present
        self.starting.remove(generation)
        self.draining.append(earlier)
        self.present = generation
        return earlier

    def dismiss(self, generation: Generation) -> None:
        """End one that has started and cannot take over; what it may have accepted it still serves."""
        self.starting.remove(generation)
        self.draining.append(generation)
        generation.retire()

    def ended(self) -> list[Generation]:
        """Those that have drained."""
        return [each for each in self.draining if self._running[each].done()]

    def forget(self, generation: Generation) -> None:
        """Let go of one whose processes have ended, or that never had any."""
        self._running.pop(generation, None)
        if generation in self.draining:
            self.draining.remove(generation)
        generation.close()

    async def all_ended(self) -> None:
        """Wait for the last process."""
        await asyncio.wait(self._running.values())
