"""The data path of one worker, joined: pools, routes, connections, and what others in the router publish."""

import asyncio
import socket
from collections.abc import Mapping
from random import Random
from time import monotonic, time
from types import MappingProxyType

from smartlb.config.membership import MembershipReader
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.config.open_files import room_of
from smartlb.core import fence
from smartlb.core.segment import Gauge, Segment
from smartlb.core.snapshot import Snapshot
from smartlb.downstream.admission import Admission
from smartlb.downstream.front import Front
from smartlb.downstream.http2 import Http2ClientConnection
from smartlb.exchange.shadow import Shadows
from smartlb.limits.stream_limit import StreamLimit
from smartlb.ports.clock import Clock
from smartlb.ports.services import Services
from smartlb.process import open_files
from smartlb.process.guard import Guard
from smartlb.routing.routing import Routing
from smartlb.stages.registry import plan_of
from smartlb.upstream.names import Names
from smartlb.upstream.pool import Pool
from smartlb.wire.pieces import RequestIds
from smartlb.worker.access_log import AccessLog

_WHOLE_SNAPSHOT_WITHIN_S = 1.0
"""How long a worker that starts waits for a snapshot that is being replaced."""


class Worker:
    """Everything that the connections of one worker share.

    Args:
        config: what to run.
        segment: shared memory.
        number: of the worker.
        random: for random choices.
        loop: that it runs on.
        access_log: a datagram socket to the supervisor; None where there is no access log.
        membership_fd: file with the backends that discovery found; negative for none.
        secrets: sign cookies, by pool.

    Attributes:
        clock: of the data path.
        front: what connections see.
        admission: which there are.
        pools: by name.
    """

    def __init__(
        self,
        config: Config,
        segment: Segment,
        number: int,
        random: Random,
        loop: asyncio.AbstractEventLoop,
        access_log: socket.socket | None = None,
        membership_fd: int = -1,
        secrets: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        numbering = Numbering(config)
        self._membership = MembershipReader(membership_fd, segment)
        numbering.seat(self._membership.first())
        self._segment = segment
        self._number = number
        self._access_log = AccessLog(access_log, numbering, lambda: time() - monotonic()) if access_log else None
        self._guard = Guard()
        self._stale_after_s = config.learner.stale_after_s
        self._snapshot: Snapshot | None = None
        self._eligibility_version = -1

        self.clock = clock = Clock()
        self._services = services = Services(clock, segment.ring_writer(number), RequestIds(random.getrandbits(32)))
        _set_limits(services, config)
        services.access_log = self._access_log
        names = Names()
        self.pools = {
            name: Pool(name, settings, numbering, segment, number, random, clock, names, loop, secrets.get(name, b""))
            for name, settings in config.pools.items()
        }
        self._shadows = Shadows(services)
        plans = [
            plan_of(
                route,
                self.pools,
                segment.rate_limit(numbering.rate_limits.get(at, slice(0))),
                self._shadows.sender,
                random,
            )
            for at, route in enumerate(config.routes)
        ]
        room = room_of(config, open_files.limit())
        self.admission = Admission(
            room.connections,
            room.udp_sessions,
            config.limits.connections_per_client,
            StreamLimit(config.limits.http2_requests, config.limits.http2_requests_per_client),
        )
        self.front = Front(services, self.admission, Routing(config), plans)

    @property
    def draining(self) -> bool:
        """Whether connections are closed after their present exchange."""
        return self._services.draining

    @property
    def idle(self) -> bool:
        """Whether there is nothing that a client waits for."""
        return self.admission.idle

    # The clock

    async def begin(self) -> None:
        """Take in what is published before the first request, and report the gauges.

        A fresh snapshot that the learner is just replacing is waited for: without it, learned pools would begin on
        their fallback.
        """
        now = self.clock.now
        self.take_in(now())
        cell, give_up_s = self._segment.snapshot, now() + _WHOLE_SNAPSHOT_WITHIN_S
        while self._snapshot is None and cell.version and cell.published_s > now() - self._stale_after_s:
            if now() > give_up_s:
                break
            await asyncio.sleep(0.001)
            self.take_in(now())
        self.sweep(now())

    def tick(self, now_s: float) -> None:
        """Take in what supervisor and learner have published, and show life."""
        with self._guard("taking in what was published"):
            self.take_in(now_s)
        self._segment.heartbeat_s[self._number] = now_s

    def take_in(self, now_s: float) -> None:
        """Take in what supervisor and learner have published."""
        segment = self._segment
        snapshot = self._snapshot
        if segment.snapshot.version != (snapshot.version if snapshot else 0):
            snapshot = segment.snapshot.read() or snapshot
        if snapshot is not None and now_s - snapshot.published_s > self._stale_after_s:
            snapshot = None
        version = int(segment.eligibility_version[0])
        fence.observe()
        members = self._membership.news()
        if members:
            for name in {member.pool for member in members}:
                self.pools[name].seat([member for member in members if member.pool == name])
            if self._access_log is not None:
                self._access_log.seat(members)
        if snapshot is not self._snapshot or version != self._eligibility_version or members:
            self._snapshot = snapshot
            self._eligibility_version = version
            for pool in self.pools.values():
                pool.update(snapshot, now_s)
        if self._access_log is not None:
            self._access_log.flush()

    def sweep(self, now_s: float) -> None:
        """Act on what has taken too long, and report the gauges."""
        for each in [each for each in self.admission.all if each.deadline_s < now_s]:
            if each.deadline_s < now_s:  # still: the end of one before may have let it have a backend
                with self._guard("a client's timeout"):
                    each.timed_out(now_s)
        with self._guard("the timeouts of copies"):
            self._shadows.sweep(now_s)
        for pool in self.pools.values():
            with self._guard("a pool's connections and queue"):
                pool.connections.close_idle(now_s)
                if pool.waiting:
                    pool.waiting.serve()
        self._report()

    def _report(self) -> None:
        front, admission, pools = self.front, self.admission, list(self.pools.values())
        hedging = [pool.hedging for pool in pools if pool.hedging is not None]
        gauges = self._segment.gauges[self._number]
        gauges[Gauge.CONNECTIONS] = len(admission.clients) + len(admission.tcp_sessions)
        gauges[Gauge.CONNECTIONS_REFUSED] = admission.refused
        gauges[Gauge.WAITING] = sum(len(pool.waiting) for pool in pools)
        gauges[Gauge.SNAPSHOT_VERSION] = self._snapshot.version if self._snapshot else 0
        gauges[Gauge.FALLBACK] = any(pool.selection.on_fallback for pool in pools)
        gauges[Gauge.LOG_LINES_DROPPED] = self._access_log.dropped if self._access_log is not None else 0
        gauges[Gauge.CONNECTS] = sum(pool.connections.opened for pool in pools)
        gauges[Gauge.STALE_RETRIES] = self._services.stale_retries
        gauges[Gauge.RETRIES] = sum(pool.retries.begun for pool in pools)
        gauges[Gauge.RETRIES_REFUSED] = sum(pool.retries.refused for pool in pools)
        gauges[Gauge.TLS_HANDSHAKES] = front.tls_handshakes
        gauges[Gauge.TLS_HANDSHAKES_FAILED] = front.tls_handshakes_failed
        gauges[Gauge.HTTP2_CONNECTIONS] = sum(isinstance(each, Http2ClientConnection) for each in admission.clients)
        gauges[Gauge.HTTP2_CALMED] = front.http2_calmed
        gauges[Gauge.HTTP2_REFUSED] = admission.streams.refused
        gauges[Gauge.UDP_SESSIONS] = len(admission.udp_sessions)
        gauges[Gauge.AFFINITY_KEPT] = sum(pool.selection.affinity_kept for pool in pools)
        gauges[Gauge.AFFINITY_LOST] = sum(pool.selection.affinity_lost for pool in pools)
        gauges[Gauge.MIRRORED] = self._shadows.made
        gauges[Gauge.MIRROR_DROPPED] = self._shadows.dropped
        gauges[Gauge.INTERNAL_ERRORS] = self._guard.errors.total()
        gauges[Gauge.HEDGES] = sum(hedges.sent for hedges in hedging)
        gauges[Gauge.HEDGES_WON] = sum(hedges.won for hedges in hedging)
        gauges[Gauge.HEDGES_REFUSED] = sum(hedges.refused for hedges in hedging)

    def drain(self, idle_s: float = 0.0) -> None:
        """Serve no connection for longer than its next response.

        Args:
            idle_s: how long idle connections may wait for their last request; at 0 they are closed at once.
        """
        services = self._services
        services.draining = self.admission.closed = True
        self._segment.gauges[self._number, Gauge.DRAINING] = 1
        services.keep_alive_s = min(services.keep_alive_s, idle_s)
        for client in self.admission.all:
            client.drain(idle_s)
        if not idle_s:
            for handshake in list(self.admission.handshakes):
                handshake.cancel()

    def retire(self, idle_s: float) -> None:
        """Drain while the processes of another generation take over.

        The last snapshot serves the last requests, for no learner makes further ones for this worker.
        """
        if self._snapshot is not None:
            self._stale_after_s = float("inf")
        self.drain(idle_s)

    @property
    def unfinished(self) -> int:
        """Requests and TCP connections under way."""
        return sum(each.unfinished for each in (*self.admission.clients, *self.admission.tcp_sessions))


def _set_limits(services: Services, config: Config) -> None:
    limits, timeouts = config.limits, config.timeouts
    services.header_bytes, services.header_count = limits.header_bytes, limits.header_count
    services.body_bytes = limits.body_bytes
    services.header_s = timeouts.header_s
    services.idle_s = services.keep_alive_s = timeouts.idle_s
    services.tcp_idle_s, services.udp_idle_s = timeouts.tcp_idle_s, timeouts.udp_idle_s
    services.tls_handshake_s = timeouts.tls_handshake_s
    services.route_priorities = [route.priority for route in config.routes]
