"""A generation: the processes that run one configuration, with all that goes by its numbers.

A reload makes a new generation beside the present one, as HAProxy's and nginx's masters do. The new one begins to
accept from the same sockets, takes over what is known of backends, and the old one drains until it ends by itself.
"""

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from time import monotonic

import numpy as np

from smartlb.config.affinity_secret import secrets_of
from smartlb.config.model import Config
from smartlb.config.numbering import Member, Numbering, Renumbering
from smartlb.control import memory
from smartlb.control.child import Child
from smartlb.control.ejection import Ejector
from smartlb.control.eligibility import Bar, Eligibility, tell
from smartlb.control.health import HealthChecker
from smartlb.control.membership import Found, Membership
from smartlb.control.rise_fall import Health
from smartlb.control.sockets import Listening
from smartlb.core.record import Records
from smartlb.core.segment import Gauge
from smartlb.process.handover import Handover, layout_of
from smartlb.process.nameless_file import unlinked_file

log = logging.getLogger(__name__)

_RING_CAPACITY = 65_536
_LOG_BUFFER_BYTES = 4 * 1024 * 1024

_READY_WITHIN_S = 30.0
_FIRST_SNAPSHOT_WITHIN_S = 10.0
_RETIRED_WITHIN_S = 2.0
_CHILDREN_GRACE_S = 2.0

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

    Raises:
        NoSecret: a pool's secret for affinity is not to be had.

    Attributes:
        config, numbering: what it runs.
        segment: the memory that its processes share.
        eligibility, health, ejector: of its backends.
        membership: of its pools with discovery.
        workers, learner: its processes; no learner where no pool uses the learned policy.
        log_socket: where batches of access log entries come from; None without an access log.
    """

    def __init__(
        self, config: Config, listening: Sequence[Listening], recall_fd: int = -1, found: Found | None = None
    ) -> None:
        secrets = secrets_of(config)
        self.config = config
        self.numbering = numbering = Numbering(config)
        layout = layout_of(config, numbering, _RING_CAPACITY)
        handover = Handover(unlinked_file(config.model_dump_json().encode()), unlinked_file(), _RING_CAPACITY)
        os.ftruncate(handover.segment_fd, layout.size)
        self.segment = segment = handover.segment(config, numbering)
        if any(pool.discovery is not None for pool in config.pools.values()):
            handover = replace(handover, membership_fd=unlinked_file())
        if secrets:
            text = json.dumps({pool: secret.hex() for pool, secret in secrets.items()})
            handover = replace(handover, secrets_fd=unlinked_file(text.encode()))
        self.membership = Membership(config, numbering, segment, handover.membership_fd)
        if self.membership.want(found or {}):
            self.membership.publish()
        self._readers = [segment.ring_reader(worker) for worker in range(config.workers)]

        self.log_socket: socket.socket | None = None
        workers_end: socket.socket | None = None
        if config.access_log is not None:
            self.log_socket, workers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.log_socket.setblocking(False)
            workers_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOG_BUFFER_BYTES)
            handover = replace(handover, access_log_fd=workers_end.detach())

        self.workers = [
            Child(
                f"worker {number}",
                "smartlb.worker.worker",
                replace(
                    handover,
                    worker=number,
                    listen_fds=tuple(each.share(number, config.workers) for each in listening),
                ),
                on_exit=partial(self._clear_worker, number),
            )
            for number in range(config.workers)
        ]
        self.learner: Child | None = None
        if any(pool.policy.name == "learned" for pool in config.pools.values()):
            handover = replace(handover, memory_fd=unlinked_file(), recall_fd=recall_fd)
            no_secrets = replace(handover, secrets_fd=-1)
            self.learner = Child("learner", "smartlb.control.learner_process", no_secrets, on_exit=lambda: None)
        elif recall_fd >= 0:
            os.close(recall_fd)
        self._handover = handover

        self._tenancy = {member.index: member.tenancy for member in numbering.backends if not member.vacant}
        panic = {name: pool.panic_share for name, pool in config.pools.items()}
        self.eligibility = Eligibility(segment, numbering, panic)
        self.health = HealthChecker(config, numbering, self.eligibility.set_health, Random())
        self.ejector = Ejector((numbering.pools[name], pool.ejection) for name, pool in config.pools.items())
        for name in numbering.pools:
            self._resize(name)
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
                if self._handover.recall_fd >= 0:
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
        snapshot_s = _FIRST_SNAPSHOT_WITHIN_S if self._handover.recall_fd >= 0 else 0.0

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
        await self.health.run()

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
        given = self._handover
        for fd in replace(given, listen_fds=()).fds:
            os.close(fd)
        if self.log_socket is not None:
            self.log_socket.close()

    @property
    def _children(self) -> list[Child]:
        return [*self.workers, *([self.learner] if self.learner else [])]

    def _clear_worker(self, number: int) -> None:
        """What a dead worker had in flight is in flight no more."""
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
        learner, fd = self.learner, self._handover.memory_fd
        # One that has not published yet has nothing to say, and might not know the signal yet.
        if learner is None or learner.pid is None or self.segment.snapshot.published_s < learner.since_s:
            return -1
        if not await memory.ask(fd, partial(learner.signal, signal.SIGUSR1)):
            log.warning("the learner does not say what it knows; the next one begins without it")
            return -1
        return os.dup(fd)

    def find(self, found: Found) -> list[Member]:
        """Take in what discovery has found; returns the members whose positions were given to them anew."""
        return self._seated(self.membership.want(found))

    def rest(self) -> list[Member]:
        """Free the positions of backends that are gone, likewise."""
        return self._seated(self.membership.rest()) if self.membership else []

    def _seated(self, changed: Sequence[Member]) -> list[Member]:
        if not changed:
            return []
        new = [each for each in changed if each.present and self._tenancy.get(each.index) != each.tenancy]
        fresh = {member.index for member in new}
        for member in new:
            self._tenancy[member.index] = member.tenancy
            self.ejector.forget(member.index)
            self.eligibility.forget(member.index)
        # Workers use newcomers from here on, and nothing must be said of them that is of those before.
        self.membership.publish()
        # Those that are there first: with the others gone, the pool is not empty in between.
        for member in sorted(changed, key=lambda each: not each.present):
            anew = member.index in fresh
            self.health.seat(member, anew=anew)
            self.eligibility.set_gone(member.index, not member.present)
            if not member.vacant and not self._over.is_set():  # those that drain beside the present one say nothing
                what = "joins" if anew else "leaves" if member.leaving else "stays"
                log.info(
                    "pool %s: backend %s at %s %s", member.pool, member.settings.label, member.settings.address, what
                )
        for name in {member.pool for member in changed}:
            self._resize(name)
        return new

    def _resize(self, pool: str) -> None:
        self.ejector.resize(self.numbering.pools[pool], len(self.numbering.present(pool)))

    def take_over(self, earlier: "Generation") -> None:
        """Go on from what an earlier generation knows of backends that are still there at the same address.

        Drained is what an operator has drained, whatever its address.
        """
        renumbering = Renumbering(earlier.numbering, self.numbering)
        bars: dict[int, dict[Bar, str]] = {index: {} for index in range(len(self.numbering.backends))}
        for its_index, index in enumerate(renumbering.backends.tolist()):
            if index >= 0 and earlier.eligibility.drained(its_index):
                bars[index][Bar.DRAINED] = earlier.eligibility.bars(its_index)[Bar.DRAINED]
        for its_index, index in renumbering.servers:
            self.health.take_over(index, earlier.health, its_index)
            self.ejector.take_over(index, earlier.ejector, its_index)
            known = earlier.eligibility.bars(its_index)
            if self.health.health(index) is Health.UNHEALTHY:
                bars[index][Bar.UNHEALTHY] = known.get(Bar.UNHEALTHY, "")
            if self.ejector.ejected(index):
                bars[index][Bar.EJECTED] = known.get(Bar.EJECTED, "")
        self.eligibility.take_over(bars)

    def drain(self, backends: Iterable[tuple[str, str]]) -> None:
        """Take out the backends of these pools and names, where there are such."""
        wanted = {(pool, name) for pool, name in backends}
        for member in self.numbering.backends:
            if (member.pool, member.settings.label) in wanted:
                self.eligibility.set_drained(member.index, True)

    def follow(self, other: "Generation") -> None:
        """Pick no backend that the present generation would not: for one that starts or drains beside it."""
        eligible = self.segment.eligible
        before = eligible.copy()
        for its_index, index in Renumbering(other.numbering, self.numbering).servers:
            eligible[index] = other.segment.eligible[its_index]
        if (eligible != before).any():
            tell(self.segment)
