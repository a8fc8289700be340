"""A generation: the processes that run one configuration, with all that goes by its numbers.

A reload makes a new generation beside the present one, as HAProxy's and nginx's masters do. The new one begins to
accept from the same sockets, takes over what is known of backends, and the old one drains until it ends by itself.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

import numpy as np

from smartlb.config.model import Config
from smartlb.config.numbering import Member, Numbering
from smartlb.control import memory
from smartlb.control.backends import Backends
from smartlb.control.child import Child
from smartlb.control.membership import Found
from smartlb.control.provision import Provision
from smartlb.control.sockets import Listening
from smartlb.core.record import Records
from smartlb.core.segment import Gauge
from smartlb.process.guard import Guard

log = logging.getLogger(__name__)

_READY_WITHIN_S = 30.0
_FIRST_SNAPSHOT_WITHIN_S = 10.0
_RETIRED_WITHIN_S = 2.0
_CHILDREN_GRACE_S = 2.0

_CHECKED_AGAIN_AFTER_S = 1.0
"""Until health checks that ended by an internal error begin again."""

_TRIES = 3
"""A generation with a worker that ends as often as this before all serve is given up."""


class NotReady(Exception):
    """The processes of a generation did not start; the message says which, and the log why."""


class Generation:
    """Workers, learner, shared memory, and what is known of each backend.

    Args:
        config: what to run.
        listening: the sockets of each of its listeners.
        recall_fd: what an earlier learner knew, as `smartlb.control.memory` has it; -1 for nothing. It is closed with
            the generation.
        found: the backends that discovery has found so far.
        guard: around what may go wrong without ending the router.

    Raises:
        NoSecret: a pool's secret for affinity is not to be had.

    Attributes:
        config, numbering: what it runs.
        segment: the memory that its processes share.
        backends: what is known of them.
        workers, learner: its processes; no learner where no pool uses the learned policy.
        log_socket: where the lines of the access log come from; None without one.
    """

    def __init__(
        self,
        config: Config,
        listening: Sequence[Listening],
        recall_fd: int = -1,
        found: Found | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.config = config
        self.numbering = numbering = Numbering(config)
        self._guard = guard or Guard()
        self._provision = given = Provision(config, numbering, recall_fd)
        self.segment = segment = given.segment
        self.log_socket = given.log_socket
        self.backends = Backends(config, numbering, segment, given.membership_fd, found or {}, self._guard)
        self._readers = [segment.ring_reader(worker) for worker in range(config.workers)]
        self.workers = [
            Child(
                f"worker {number}",
                "smartlb.worker.process",
                given.of_worker(number, listening),
                on_exit=partial(self._clear_worker, number),
            )
            for number in range(config.workers)
        ]
        self.learner: Child | None = None
        if given.learns:
            module = "smartlb.control.learner_process"
            self.learner = Child("learner", module, given.of_learner(), on_exit=lambda: None)
        self._present = asyncio.Event()
        self._over = asyncio.Event()

    # Life

    async def run(self) -> None:
        """Start the processes and keep them running; ends once they have all ended after `retire` or `stop`.

        Where an earlier learner has left something to begin from, the workers wait for the first snapshot.
        """
        try:
            await self._run()
        except BaseException:
            self.kill()  # nobody looks after its processes any more
            raise

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            checking = group.create_task(self._check_backends())
            children = []
            if self.learner is not None:
                children.append(group.create_task(self.learner.run()))
                if self._provision.recalls:
                    await self._until(lambda: self.segment.snapshot.version > 0, _FIRST_SNAPSHOT_WITHIN_S)
            if not self._over.is_set():
                children += [group.create_task(worker.run()) for worker in self.workers]
            await self._over.wait()
            checking.cancel()
            if children:
                _, late = await asyncio.wait(children, timeout=self.config.shutdown_s + _CHILDREN_GRACE_S)
                if late:
                    self.kill()

    async def ready(self) -> None:
        """Wait until all workers serve, or until the generation is told to end.

        Raises:
            NotReady: they do not in time, or keep dying.
        """
        heartbeats = self.segment.heartbeat_s
        snapshot_s = _FIRST_SNAPSHOT_WITHIN_S if self._provision.recalls else 0.0

        def dying() -> list[Child]:
            return [worker for worker in self.workers if worker.restarts >= _TRIES]

        await self._until(lambda: heartbeats.all() or dying(), _READY_WITHIN_S + snapshot_s)
        if not self._over.is_set() and not heartbeats.all():
            dead = [f"{worker.name} ended ({worker.last_exit})" for worker in dying()]
            why = ", ".join(dead) or f"not within {_READY_WITHIN_S:g} s"
            raise NotReady(f"the workers did not start: {why}; see the log above")

    async def _until(self, holds: Callable[[], object], within_s: float) -> None:
        give_up_s = monotonic() + within_s
        while not (holds() or self._over.is_set()) and monotonic() < give_up_s:
            await asyncio.sleep(0.01)

    async def _check_backends(self) -> None:
        await self._present.wait()
        while True:
            with self._guard("health checks"):
                await self.backends.health.run()
                return
            await asyncio.sleep(_CHECKED_AGAIN_AFTER_S)

    def present(self) -> None:
        """From now on this is the generation that decides about backends: check them."""
        self._present.set()

    async def accepts_no_more(self) -> None:
        """After `retire`: wait until no worker accepts a connection any more, or one does not say so in time."""
        give_up_s = monotonic() + _RETIRED_WITHIN_S
        while monotonic() < give_up_s and any(
            worker.pid is not None and not self.segment.gauges[number, Gauge.DRAINING]
            for number, worker in enumerate(self.workers)
        ):
            await asyncio.sleep(0.005)

    def retire(self) -> None:
        """Accept no more, give idle connections up to `shutdown_s` for a last request, and end."""
        self._over.set()
        for worker in self.workers:
            worker.retire()
        if self.learner is not None:
            self.learner.stop()

    def stop(self) -> None:
        """Accept no more, finish what is under way, and end."""
        self._over.set()
        for child in self._children:
            child.stop()

    def kill(self) -> None:
        """End at once."""
        for child in self._children:
            child.kill()

    def close(self) -> None:
        """Let go of what the processes were given; to be called once they have ended."""
        self._provision.close()

    @property
    def _children(self) -> list[Child]:
        return [*self.workers, *([self.learner] if self.learner else [])]

    def _clear_worker(self, number: int) -> None:
        """What a dead worker had in flight is in flight no more."""
        with self._guard("clearing up after a worker"):
            self.segment.in_flight[number] = self.segment.waiting[number] = 0
            self.segment.gauges[number] = 0
            self.segment.heartbeat_s[number] = 0

    # What it knows

    def records(self) -> Records:
        """What the workers have recorded since the last call."""
        return np.concatenate([reader.read() for reader in self._readers])

    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read, so far."""
        return sum(reader.lost for reader in self._readers)

    async def memory(self) -> int:
        """What the learner knows now, as a descriptor that the next generation closes; -1 where there is nothing."""
        learner, fd = self.learner, self._provision.memory_fd
        # One that has not published yet has nothing to say, and might not know the signal yet.
        if learner is None or learner.pid is None or self.segment.snapshot.published_s < learner.since_s:
            return -1
        if not await memory.ask(fd, partial(learner.signal, signal.SIGUSR1)):
            log.warning("the learner does not say what it knows; the next one begins without it")
            return -1
        return os.dup(fd)

    def find(self, found: Found) -> list[Member]:
        """Take in what discovery has found; returns the members whose positions were given to them anew."""
        return self.backends.find(found, silent=self._over.is_set())

    def rest(self) -> list[Member]:
        """Free the positions of backends that are gone, likewise."""
        return self.backends.rest(silent=self._over.is_set())
