# cython: annotation_typing=False
"""A pool as one worker sees it: who may be picked, how to get there, and who waits."""

import asyncio
from collections.abc import Sequence
from math import inf
from random import Random

from smartlb.config.model import Pool as Settings
from smartlb.config.numbering import Member, Numbering
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.policies.registry import POLICIES
from smartlb.ports.clock import Clock
from smartlb.upstream.affinity import Affinity, affinity_of
from smartlb.upstream.connections import Connections
from smartlb.upstream.hedging import Hedging
from smartlb.upstream.names import Names
from smartlb.upstream.queue import WaitQueue
from smartlb.upstream.retries import Retries
from smartlb.upstream.selection import Selection
from smartlb.wire.forwarding import Peer, address_key
from smartlb.wire.http1 import HeaderBlock


class Pool:
    """One pool of one worker.

    Args:
        name, settings: of the configuration.
        numbering: of its backends.
        segment: shared memory.
        worker: number of the worker.
        random: of the worker.
        clock: of the data path.
        names: of the worker.
        loop: of the worker.
        secret: signs the cookies of its affinity.

    Attributes:
        name, settings: the arguments.
        first: index over all pools of the pool's first backend.
        request_s, attempt_s: the timeouts that every request needs, at hand.
        selection: who gets a request.
        connections: how it gets there.
        waiting: what waits for room.
        retries: which there may be, and how many there are.
        hedging: likewise; None where nothing is hedged.
        upgrades: protocols that are tunnelled, in lower case.
        key: what of a request `request_key` goes by; ``none`` for nothing.
        by_key: whether it goes by anything.
        binds: whether it has affinity.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        numbering: Numbering,
        segment: Segment,
        worker: int,
        random: Random,
        clock: Clock,
        names: Names,
        loop: asyncio.AbstractEventLoop,
        secret: bytes = b"",
    ) -> None:
        self.name = name
        self.settings = settings
        self.request_s = inf if settings.timeouts.request_s is None else settings.timeouts.request_s
        response_header_s = settings.timeouts.response_header_s
        self.attempt_s = min(settings.retries.attempt_timeout_s or response_header_s, response_header_s)
        positions = numbering.pools[name]
        self.first = positions.start
        self._members = [numbering.backends[index] for index in positions]
        self._secret = secret
        self._affinity = self._bind()
        self.selection = Selection(name, settings, self._members, self.first, segment, worker, random, self._affinity)
        self.connections = Connections(name, settings, self._members, clock, names, loop)
        shared = segment.waiting[:, positions.start]
        self.waiting = WaitQueue(settings.queue.max_waiting, shared, worker, loop, random)
        self.retries = Retries(settings.retries)
        self.hedging = Hedging(settings.hedging, loop) if settings.hedging is not None else None
        self.upgrades = frozenset(protocol.lower().encode() for protocol in settings.upgrades)
        self.binds = self._affinity is not None
        self.key = POLICIES[settings.policy.name].key if self._affinity is None else "affinity"
        self.by_key = self.key != "none"

    def _bind(self) -> Affinity | None:
        settings = self.settings.affinity
        return None if settings is None else affinity_of(settings, self.name, self._members, self._secret)

    def request_key(self, peer: Peer, target: bytes, block: HeaderBlock) -> int:
        """What of a request the policy or affinity goes by, as a number; 0 for nothing."""
        if self._affinity is not None:
            return self._affinity.key(peer, target, block)
        return 0 if self.key == "none" else peer.key(self.key, target, block)

    def address_key(self, address: str) -> int:
        """The same of a TCP connection or UDP session from a client's address."""
        settings = self.settings.affinity
        by_address = self.key == "client_ip" if settings is None else settings.kind == "source_ip"
        return address_key(address) if by_address else 0

    def ended(self, position: int) -> None:
        """Count a request out, and let one that waits have the room."""
        self.selection.ended(position)
        if self.waiting:
            self.waiting.place_free()

    def has_room_besides(self, tried: Sequence[int]) -> bool:
        """Whether a request at a backend could go to one that is not in `tried` instead."""
        return self.selection.has_room_besides(tried, bool(self.waiting))

    @property
    def under_way(self) -> int:
        """This worker's requests at backends and in the queue."""
        return self.selection.under_way + len(self.waiting)

    def seat(self, members: Sequence[Member]) -> None:
        """Take in what discovery has found; `update` is to be called afterwards.

        Connections under way go on. The policy forgets what it knew of a position that has another backend now.
        """
        changed = [member for member in members if self._members[member.position] != member]
        if not changed:
            return
        before = self._members
        now = list(before)
        for member in changed:
            now[member.position] = member
        moved = [
            member.position for member in changed if member.tenancy != before[member.position].tenancy or member.vacant
        ]
        self._members = now
        self._affinity = self._bind()
        same = [at for at, member in enumerate(now) if member.present and member.tenancy == before[at].tenancy]
        self.connections.seat(now, moved)
        self.selection.seat(now, same, self._affinity)

    def update(self, snapshot: Snapshot | None, now_s: float) -> None:
        """Take in the shared eligibility and a snapshot; None where there is no fresh one."""
        self.selection.update(snapshot, now_s)
