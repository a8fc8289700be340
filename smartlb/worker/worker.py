"""A worker: the process that moves the traffic."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from random import Random
from time import monotonic, time
from types import MappingProxyType
from typing import Any

import uvloop

from smartlb.config.membership import MembershipReader
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.config.open_files import room_of, shortage
from smartlb.core import fence
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE
from smartlb.core.segment import Gauge, Segment
from smartlb.core.snapshot import Snapshot
from smartlb.downstream.http1 import ClientConnection
from smartlb.downstream.http2 import Http2ClientConnection
from smartlb.downstream.listening import Listening, listen
from smartlb.downstream.tls import ignore_unreadable_names
from smartlb.exchange.exchange import Exchange
from smartlb.exchange.traffic import RouteTraffic, needs_control
from smartlb.layer4.session import Session
from smartlb.layer4.tcp import TcpSession
from smartlb.layer4.udp import UdpSession
from smartlb.limits.client_limit import ClientLimit
from smartlb.process import open_files
from smartlb.process.guard import Guard
from smartlb.process.handover import Handover
from smartlb.process.lifetime import orphaned, seldom_collect, tie_to
from smartlb.process.logs import set_up_logging
from smartlb.routing.routing import Routing
from smartlb.upstream.affinity import AffinePool
from smartlb.upstream.pool import Pool
from smartlb.worker.access_log import AccessLog

log = logging.getLogger(__name__)

_TICK_S = 0.02
_TICKS_A_SWEEP = 5
"""Timeouts are looked at every 0.1 s: exact timers for every request would cost more than the requests' policies."""

_WHOLE_SNAPSHOT_WITHIN_S = 1.0
"""How long a worker that starts waits for a snapshot that is being replaced."""

_LAST_REQUEST_S = 1.0
"""How long an idle connection may stay after SIGTERM: time for a request that its client has sent already."""

_LOGGED = (
    "arrived_s",
    "waited_s",
    "first_byte_s",
    "total_s",
    "in_flight",
    "request_bytes",
    "response_bytes",
    "backend",
    "route",
    "request_class",
    "status",
    "outcome",
    "attempt",
)
"""What `AccessLog.write` calls the fields of `smartlb.core.record.RECORD`."""


class Worker:
    """Everything that the connections of one worker share.

    Attributes:
        header_bytes, header_count, body_bytes: limits, of the configuration.
        header_s, idle_s, tcp_idle_s, udp_idle_s: timeouts, of the configuration.
        keep_alive_s: how long a connection may be idle between requests; `idle_s` until it drains.
        routing: routes and request classes.
        route_pools: the pool of each route that hands its requests there and does no more.
        route_traffic: what each route does.
        route_priorities: of each route.
        clients: open connections of http listeners.
        tcp_sessions: those of tcp listeners.
        udp_sessions: sessions of udp listeners.
        write_record: appends a telemetry record.
        logs: whether there is an access log.
        draining: whether connections are closed after their present exchange.
        stale_retries: requests sent again because an idle connection was closed under them, so far.
        tls_handshake_s: timeout, of the configuration.
        handshakes: tasks of connections whose PROXY header or TLS handshake is under way.
        tls_handshakes, tls_handshakes_failed: so far.
        http2_calmed: connections closed for what `Http2` in the configuration does not allow, so far.
    """

    __slots__ = (
        "_access_log",
        "_client_limit",
        "_eligibility_version",
        "_guard",
        "_handshake_limit",
        "_loop",
        "_membership",
        "_mirrors",
        "_most_connections",
        "_most_sessions",
        "_number",
        "_pools",
        "_refused",
        "_request_number",
        "_request_prefix",
        "_segment",
        "_snapshot",
        "_stale_after_s",
        "body_bytes",
        "clients",
        "draining",
        "handshakes",
        "header_bytes",
        "header_count",
        "header_s",
        "http2_calmed",
        "idle_s",
        "keep_alive_s",
        "logs",
        "route_pools",
        "route_priorities",
        "route_traffic",
        "routing",
        "stale_retries",
        "tcp_idle_s",
        "tcp_sessions",
        "tls_handshake_s",
        "tls_handshakes",
        "tls_handshakes_failed",
        "udp_idle_s",
        "udp_sessions",
        "write_record",
    )

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
        self.header_bytes = config.limits.header_bytes
        self.header_count = config.limits.header_count
        self.body_bytes = config.limits.body_bytes
        self.header_s = config.timeouts.header_s
        self.idle_s = self.keep_alive_s = config.timeouts.idle_s
        self.tcp_idle_s = config.timeouts.tcp_idle_s
        self.udp_idle_s = config.timeouts.udp_idle_s
        self._most_connections, self._most_sessions = room_of(config, open_files.limit())
        per_client = config.limits.connections_per_client
        self._client_limit = ClientLimit(per_client)
        self._handshake_limit = ClientLimit(per_client)
        self.routing = Routing(config)
        self.clients: set[ClientConnection | Http2ClientConnection] = set()
        self.tcp_sessions: set[TcpSession] = set()
        self.udp_sessions: set[UdpSession] = set()
        self.draining = False
        self.stale_retries = 0
        self.tls_handshake_s = config.timeouts.tls_handshake_s
        self.handshakes: set[asyncio.Task[None]] = set()
        self.tls_handshakes = 0
        self.tls_handshakes_failed = 0
        self.http2_calmed = 0
        self._pools = {
            name: Pool(name, settings, numbering, segment, number, random, loop)
            if settings.affinity is None
            else AffinePool(secrets, name, settings, numbering, segment, number, random, loop)
            for name, settings in config.pools.items()
        }
        self.route_pools = {
            number: self._pools[route.pool]
            for number, route in enumerate(config.routes)
            if route.pool is not None and not needs_control(route, config.pools)
        }
        self.route_traffic = {
            number: RouteTraffic(route, self._pools, random) for number, route in enumerate(config.routes)
        }
        self._mirrors = [traffic.mirror for traffic in self.route_traffic.values() if traffic.mirror is not None]
        self.route_priorities = [route.priority for route in config.routes]
        self._segment = segment
        self._number = number
        self._loop = loop
        self.write_record = segment.ring_writer(number).write
        self._stale_after_s = config.learner.stale_after_s
        self._snapshot: Snapshot | None = None
        self._eligibility_version = -1
        self._guard = Guard()
        self._refused = 0
        self._request_prefix = b"%08x-" % random.getrandbits(32)
        self._request_number = 0
        self._access_log = AccessLog(access_log, numbering, lambda: time() - monotonic()) if access_log else None
        self.logs = access_log is not None

    def _has_room(self, limit: ClientLimit, address: str | None, besides: int = 0) -> bool:
        """Whether one more connection may come from an address; counts where not."""
        connections = len(self.clients) + len(self.tcp_sessions) + besides
        if connections >= self._most_connections or limit.full(address):
            self._refused += 1
            return False
        return True

    def admit(self, client: ClientConnection) -> bool:
        """Count a connection in; False when there are too many."""
        address = _limited(client)
        if not self._has_room(self._client_limit, address):
            return False
        self._client_limit.opened(address)
        self.clients.add(client)
        return True

    def left(self, client: ClientConnection | Http2ClientConnection) -> None:
        """Count a connection out; again does nothing."""
        if client in self.clients:
            self.clients.remove(client)
            self._client_limit.closed(_limited(client))

    def admit_tcp(self, session: TcpSession) -> bool:
        """Count a connection of a tcp listener in; False when there are too many."""
        address = _limited(session)
        if not self._has_room(self._client_limit, address):
            return False
        self._client_limit.opened(address)
        self.tcp_sessions.add(session)
        return True

    def left_tcp(self, session: TcpSession) -> None:
        """Count a connection of a tcp listener out; again does nothing."""
        if session in self.tcp_sessions:
            self.tcp_sessions.remove(session)
            self._client_limit.closed(_limited(session))

    def admit_udp(self, session: UdpSession) -> bool:
        """Count a UDP session in; False when there are too many, or the worker drains."""
        if self.draining or len(self.udp_sessions) >= self._most_sessions:
            self._refused += 1
            return False
        self.udp_sessions.add(session)
        return True

    def admits(self, address: str | None) -> bool:
        """Whether a connection may begin its handshake; False when there are too many.

        Args:
            address: of the client; None where it is not limited.
        """
        return self._has_room(self._handshake_limit, address, len(self.handshakes))

    def shake_hands(self, task: asyncio.Task[None], address: str | None) -> None:
        """Count a handshake in until its task is done.

        Args:
            task: that does it.
            address: of the client; None where it is not limited.
        """
        self.handshakes.add(task)
        task.add_done_callback(self.handshakes.discard)
        limit = self._handshake_limit
        limit.opened(address)
        task.add_done_callback(lambda _: limit.closed(address))

    def pool(self, name: str) -> Pool:
        """A pool by its name."""
        return self._pools[name]

    @property
    def idle(self) -> bool:
        """Whether there is nothing that a client waits for."""
        return not (self.clients or self.tcp_sessions or self.udp_sessions or self.handshakes)

    def next_request_id(self) -> bytes:
        """An id that no other request of this node has."""
        self._request_number = number = self._request_number + 1
        return b"%s%x" % (self._request_prefix, number)

    def log(self, exchange: Exchange, fields: tuple[Any, ...]) -> None:
        """Add a request to the access log; the fields are those of `smartlb.core.record.RECORD`."""
        self._log((exchange.method, exchange.target, exchange.client.address, exchange.request_id), fields)

    def log_session(self, session: Session, fields: tuple[Any, ...]) -> None:
        """Add a TCP connection or a UDP session to the access log, likewise."""
        self._log((session.method, session.server_name.encode(), session.address, b""), fields)

    def record_refused(
        self,
        outcome: Outcome,
        status: int,
        client: str,
        method: bytes = b"",
        target: bytes = b"",
        route: int = NO_ROUTE,
    ) -> None:
        """Write the record of a request that came to no pool; method, target and route where they are known."""
        fields = (
            monotonic(),
            0.0,
            float("nan"),
            0.0,
            0,
            0,
            0,
            NO_BACKEND,
            route,
            0,
            status,
            int(outcome),
            1,
        )
        self.write_record(fields)
        if self.logs:
            self._log((method, target, client, b""), fields)

    def _log(self, request: tuple[bytes, bytes, str, bytes], fields: tuple[Any, ...]) -> None:
        method, target, client, request_id = request
        if self._access_log is not None:
            self._access_log.write(
                **dict(zip(_LOGGED, fields, strict=True)),
                method=method,
                target=target,
                client=client,
                request_id=request_id,
            )

    # The clock

    async def begin(self) -> None:
        """Take in what is published before the first request, and report the gauges.

        A fresh snapshot that the learner is just replacing is waited for: without it, learned pools would begin on
        their fallback.
        """
        self.take_in(monotonic())
        cell, give_up_s = self._segment.snapshot, monotonic() + _WHOLE_SNAPSHOT_WITHIN_S
        while self._snapshot is None and cell.version and cell.published_s > monotonic() - self._stale_after_s:
            if monotonic() > give_up_s:
                break
            await asyncio.sleep(0.001)
            self.take_in(monotonic())
        self.sweep(monotonic())

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
            if self._access_log is not None:
                self._access_log.seat(members)
            for name in {member.pool for member in members}:
                self._pools[name].seat([member for member in members if member.pool == name])
        if snapshot is not self._snapshot or version != self._eligibility_version or members:
            self._snapshot = snapshot
            self._eligibility_version = version
            for pool in self._pools.values():
                pool.update(snapshot, now_s)
        if self._access_log is not None:
            self._access_log.flush()

    def sweep(self, now_s: float) -> None:
        """Act on what has taken too long, and report the gauges."""
        for client in [client for client in self.clients if client.deadline_s < now_s]:
            if client.deadline_s < now_s:  # still: the end of one before may have let it have a backend
                with self._guard("a client's timeout"):
                    client.timed_out(now_s)
        for session in [session for session in (*self.tcp_sessions, *self.udp_sessions) if session.deadline_s < now_s]:
            if session.deadline_s < now_s:
                with self._guard("a session's timeout"):
                    session.timed_out(now_s)
        for mirror in self._mirrors:
            with self._guard("a mirror's timeouts"):
                mirror.sweep(now_s)
        waiting = 0
        for pool in self._pools.values():
            with self._guard("a pool's connections and queue"):
                pool.close_idle(now_s)
                if pool.waiting:
                    pool.waiting.serve()
                    waiting += len(pool.waiting)
        gauges = self._segment.gauges[self._number]
        gauges[Gauge.CONNECTIONS] = len(self.clients) + len(self.tcp_sessions)
        gauges[Gauge.CONNECTIONS_REFUSED] = self._refused
        gauges[Gauge.WAITING] = waiting
        gauges[Gauge.SNAPSHOT_VERSION] = self._snapshot.version if self._snapshot else 0
        gauges[Gauge.FALLBACK] = any(pool.on_fallback for pool in self._pools.values())
        gauges[Gauge.LOG_LINES_DROPPED] = self._access_log.dropped if self._access_log else 0
        gauges[Gauge.CONNECTS] = sum(pool.connects for pool in self._pools.values())
        gauges[Gauge.STALE_RETRIES] = self.stale_retries
        gauges[Gauge.RETRIES] = sum(pool.retries.begun for pool in self._pools.values())
        gauges[Gauge.RETRIES_REFUSED] = sum(pool.retries.refused for pool in self._pools.values())
        gauges[Gauge.TLS_HANDSHAKES] = self.tls_handshakes
        gauges[Gauge.TLS_HANDSHAKES_FAILED] = self.tls_handshakes_failed
        gauges[Gauge.HTTP2_CONNECTIONS] = sum(isinstance(each, Http2ClientConnection) for each in self.clients)
        gauges[Gauge.HTTP2_CALMED] = self.http2_calmed
        gauges[Gauge.INTERNAL_ERRORS] = self._guard.errors.total()
        gauges[Gauge.UDP_SESSIONS] = len(self.udp_sessions)
        gauges[Gauge.AFFINITY_KEPT] = sum(pool.affinity_kept for pool in self._pools.values())
        gauges[Gauge.AFFINITY_LOST] = sum(pool.affinity_lost for pool in self._pools.values())
        gauges[Gauge.MIRRORED] = sum(mirror.made for mirror in self._mirrors)
        hedging = [pool.hedging for pool in self._pools.values() if pool.hedging is not None]
        gauges[Gauge.HEDGES] = sum(hedges.sent for hedges in hedging)
        gauges[Gauge.HEDGES_WON] = sum(hedges.won for hedges in hedging)
        gauges[Gauge.HEDGES_REFUSED] = sum(hedges.refused for hedges in hedging)
        gauges[Gauge.MIRROR_DROPPED] = sum(mirror.dropped for mirror in self._mirrors)

    def drain(self, idle_s: float = 0.0) -> None:
        """Serve no connection for longer than its next response.

        Args:
            idle_s: how long idle connections may wait for their last request; at 0 they are closed at once.
        """
        self.draining = True
        self._segment.gauges[self._number, Gauge.DRAINING] = 1
        self.keep_alive_s = min(self.keep_alive_s, idle_s)
        for client in list(self.clients):
            client.drain(idle_s)
        for session in (*self.tcp_sessions, *self.udp_sessions):
            session.drain()
        if not idle_s:
            for handshake in list(self.handshakes):
                handshake.cancel()

    def retire(self, idle_s: float) -> None:
        """Drain while the processes of another generation take over.

        The last snapshot serves the last requests, for no learner makes further ones for this worker.
        """
        if self._snapshot is not None:
            self._stale_after_s = float("inf")
        self.drain(idle_s)


def _limited(client: ClientConnection | Http2ClientConnection | TcpSession) -> str | None:
    """The address that a connection counts for; none where it is a proxy's, which has many clients."""
    return None if client.trusted else client.address


async def _run(handover: Handover) -> None:
    loop = asyncio.get_running_loop()
    stop, retire = asyncio.Event(), asyncio.Event()
    sys.unraisablehook = ignore_unreadable_names
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, retire.set)
    config = handover.config()
    numbering = Numbering(config)
    access_log = socket.socket(fileno=handover.access_log_fd) if handover.access_log_fd >= 0 else None
    if access_log is not None:
        access_log.setblocking(False)
    if words := shortage(config, open_files.limit()):
        log.warning("%s", words)
    segment = handover.segment(config, numbering)
    random = Random(os.urandom(16))
    worker = Worker(
        config, segment, handover.worker, random, loop, access_log, handover.membership_fd, handover.secrets()
    )
    await worker.begin()
    servers: list[Listening] = []
    alone = config.workers == 1
    for fds, listener, route in zip(handover.listen_fds, config.listeners, numbering.listeners, strict=True):
        servers += [await listen(worker, listener, route, socket.socket(fileno=fd), alone=alone) for fd in fds]
    seldom_collect()
    log.info("worker %d serves", handover.worker)

    ticks = 0
    stopping = False
    drained_by_s = float("inf")
    while not (worker.draining and worker.idle) and monotonic() < drained_by_s:
        now_s = monotonic()
        worker.tick(now_s)
        ticks += 1
        if ticks % _TICKS_A_SWEEP == 0:
            worker.sweep(now_s)
            if orphaned(handover.supervisor):
                stop.set()
        if (stop.is_set() or retire.is_set()) and not worker.draining:
            drained_by_s = now_s + config.shutdown_s
            for server in servers:
                server.close()
            log.info("worker %d drains %d connections", handover.worker, len(worker.clients) + len(worker.tcp_sessions))
            worker.retire(config.shutdown_s)
        if stop.is_set() and not stopping:
            stopping = True
            worker.drain(min(_LAST_REQUEST_S, config.shutdown_s))
        await asyncio.sleep(_TICK_S)
    unfinished = sum(client.exchange is not None for client in worker.clients) + len(worker.tcp_sessions)
    if unfinished:
        log.warning("worker %d ends with %d requests and connections unfinished", handover.worker, unfinished)
    worker.tick(monotonic())


def main() -> None:
    """Run a worker until SIGTERM or the supervisor's end."""
    handover = Handover.from_command_line("A worker of the router.")
    tie_to(handover.supervisor)
    set_up_logging("worker")
    open_files.raise_limit()
    uvloop.run(_run(handover))


if __name__ == "__main__":
    main()
