"""A worker: the process that moves the traffic."""

import asyncio
import logging
import marshal
import os
import signal
import socket
from functools import partial
from random import Random
from time import monotonic
from typing import Any

import uvloop

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge, Segment
from smartlb.core.snapshot import Snapshot
from smartlb.core.telemetry import NO_BACKEND, NO_ROUTE
from smartlb.process import Handover, orphaned, seldom_collect, set_up_logging, tie_to
from smartlb.proxy.affinity import AffinePool
from smartlb.proxy.client import ClientConnection
from smartlb.proxy.exchange import Exchange
from smartlb.proxy.forwarding import TrustedNetworks
from smartlb.proxy.pool import Pool
from smartlb.proxy.routing import Routing
from smartlb.proxy.traffic import RouteTraffic, needs_control

log = logging.getLogger(__name__)

_TICK_S = 0.02
_TICKS_A_SWEEP = 5
"""Timeouts are looked at every 0.1 s: exact timers for every request would cost more than the requests' policies."""

_LOG_BATCH = 64
_LONGEST_LOGGED_TARGET = 2_048


class Worker:
    """Everything that the connections of one worker share.

    Attributes:
        header_bytes, header_count, body_bytes: limits, of the configuration.
        header_s, idle_s: timeouts, of the configuration.
        routing: routes and request classes.
        route_pools: the pool of each route that hands its requests there and does no more.
        route_traffic: what every other route does.
        route_priorities: of each route.
        clients: open connections.
        write_record: appends a telemetry record.
        logs: whether there is an access log.
        draining: whether connections are closed after their present exchange.
        stale_retries: requests sent again because an idle connection was closed under them, so far.
    """

    __slots__ = (
        "_access_log",
        "_eligibility_version",
        "_log_entries",
        "_log_lines_dropped",
        "_loop",
        "_mirrors",
        "_most_connections",
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
        "header_bytes",
        "header_count",
        "header_s",
        "idle_s",
        "logs",
        "route_pools",
        "route_priorities",
        "route_traffic",
        "routing",
        "stale_retries",
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
    ) -> None:
        numbering = Numbering(config)
        self.header_bytes = config.limits.header_bytes
        self.header_count = config.limits.header_count
        self.body_bytes = config.limits.body_bytes
        self.header_s = config.timeouts.header_s
        self.idle_s = config.timeouts.idle_s
        self._most_connections = config.limits.connections
        self.routing = Routing(config)
        self.clients: set[ClientConnection] = set()
        self.draining = False
        self.stale_retries = 0
        self._pools = {
            name: (Pool if settings.affinity is None else AffinePool)(
                name, settings, numbering, segment, number, random, loop
            )
            for name, settings in config.pools.items()
        }
        self.route_pools = {
            number: self._pools[route.pool]
            for number, route in enumerate(config.routes)
            if route.pool is not None and not needs_control(route, config.pools)
        }
        self.route_traffic = {
            number: RouteTraffic(route, self._pools, random)
            for number, route in enumerate(config.routes)
            if number not in self.route_pools
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
        self._refused = 0
        self._request_prefix = b"%08x-" % random.getrandbits(32)
        self._request_number = 0
        self._access_log = access_log
        self.logs = access_log is not None
        self._log_entries: list[tuple[Any, ...]] = []
        self._log_lines_dropped = 0

    def admit(self, client: ClientConnection) -> bool:
        """Count a connection in; False when there are too many."""
        if len(self.clients) >= self._most_connections:
            self._refused += 1
            return False
        self.clients.add(client)
        return True

    def next_request_id(self) -> bytes:
        """An id that no other request of this node has."""
        self._request_number = number = self._request_number + 1
        return b"%s%x" % (self._request_prefix, number)

    def log(self, exchange: Exchange, fields: tuple[Any, ...]) -> None:
        """Add a request to the access log; the fields are those of `smartlb.core.telemetry.RECORD`."""
        target = exchange.target[:_LONGEST_LOGGED_TARGET]
        self._log((exchange.method, target, exchange.client.address, exchange.request_id), fields)

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
            self._log((method, target[:_LONGEST_LOGGED_TARGET], client, b""), fields)

    def _log(self, request: tuple[bytes, bytes, str, bytes], fields: tuple[Any, ...]) -> None:
        self._log_entries.append((*request, *fields[:-2], int(fields[-2]), fields[-1]))
        if len(self._log_entries) >= _LOG_BATCH:
            self._flush_log()

    def _flush_log(self) -> None:
        entries, self._log_entries = self._log_entries, []
        assert self._access_log is not None
        try:
            self._access_log.send(marshal.dumps(entries))
        except OSError:
            # The log's writer is behind or gone; traffic does not wait for it.
            self._log_lines_dropped += len(entries)

    # The clock

    def tick(self, now_s: float) -> None:
        """Take in what supervisor and learner have published, and show life."""
        segment = self._segment
        segment.heartbeat_s[self._number] = now_s
        snapshot = self._snapshot
        if segment.snapshot.version != (snapshot.version if snapshot else 0):
            snapshot = segment.snapshot.read() or snapshot
        if snapshot is not None and now_s - snapshot.published_s > self._stale_after_s:
            snapshot = None
        version = int(segment.eligibility_version[0])
        if snapshot is not self._snapshot or version != self._eligibility_version:
            self._snapshot = snapshot
            self._eligibility_version = version
            for pool in self._pools.values():
                pool.update(snapshot, now_s)
        if self._log_entries:
            self._flush_log()

    def sweep(self, now_s: float) -> None:
        """Act on what has taken too long, and report the gauges."""
        for client in [client for client in self.clients if client.deadline_s < now_s]:
            client.timed_out(now_s)
        for mirror in self._mirrors:
            mirror.sweep(now_s)
        waiting = 0
        for pool in self._pools.values():
            pool.close_idle(now_s)
            if pool.waiting:
                pool.serve_waiting()
                waiting += len(pool.waiting)
        gauges = self._segment.gauges[self._number]
        gauges[Gauge.CONNECTIONS] = len(self.clients)
        gauges[Gauge.CONNECTIONS_REFUSED] = self._refused
        gauges[Gauge.WAITING] = waiting
        gauges[Gauge.SNAPSHOT_VERSION] = self._snapshot.version if self._snapshot else 0
        gauges[Gauge.FALLBACK] = any(pool.on_fallback for pool in self._pools.values())
        gauges[Gauge.LOG_LINES_DROPPED] = self._log_lines_dropped
        gauges[Gauge.CONNECTS] = sum(pool.connects for pool in self._pools.values())
        gauges[Gauge.STALE_RETRIES] = self.stale_retries
        gauges[Gauge.RETRIES] = sum(pool.retries.begun for pool in self._pools.values())
        gauges[Gauge.RETRIES_REFUSED] = sum(pool.retries.refused for pool in self._pools.values())
        gauges[Gauge.AFFINITY_KEPT] = sum(pool.affinity_kept for pool in self._pools.values())
        gauges[Gauge.AFFINITY_LOST] = sum(pool.affinity_lost for pool in self._pools.values())
        gauges[Gauge.MIRRORED] = sum(mirror.made for mirror in self._mirrors)
        gauges[Gauge.MIRROR_DROPPED] = sum(mirror.dropped for mirror in self._mirrors)

    def drain(self) -> None:
        """Close what is idle; the rest closes after its present exchange."""
        self.draining = True
        for client in list(self.clients):
            client.drain()


async def _run(handover: Handover) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    config = handover.config()
    numbering = Numbering(config)
    access_log = socket.socket(fileno=handover.access_log_fd) if handover.access_log_fd >= 0 else None
    if access_log is not None:
        access_log.setblocking(False)
    segment = handover.segment(config, numbering)
    worker = Worker(config, segment, handover.worker, Random(os.urandom(16)), loop, access_log)
    worker.tick(monotonic())
    worker.sweep(monotonic())
    servers = []
    for fd, listener in zip(handover.listen_fds, config.listeners, strict=True):
        trusted = TrustedNetworks(listener.trusted_proxies)
        servers.append(
            await loop.create_server(
                partial(ClientConnection, worker, trusted),
                sock=socket.socket(fileno=fd),
                backlog=4096,
            )
        )
    seldom_collect()
    log.info("worker %d serves", handover.worker)

    ticks = 0
    drained_by_s = float("inf")
    while not (worker.draining and not worker.clients) and monotonic() < drained_by_s:
        now_s = monotonic()
        worker.tick(now_s)
        ticks += 1
        if ticks % _TICKS_A_SWEEP == 0:
            worker.sweep(now_s)
            if orphaned(handover.supervisor):
                stop.set()
        if stop.is_set() and not worker.draining:
            drained_by_s = now_s + config.shutdown_s
            for server in servers:
                server.close()
            worker.drain()
            log.info("worker %d drains %d connections", handover.worker, len(worker.clients))
        await asyncio.sleep(_TICK_S)
    if worker.clients:
        log.warning("worker %d ends with %d connections open", handover.worker, len(worker.clients))
    worker.tick(monotonic())


def main() -> None:
    """Run a worker until SIGTERM or the supervisor's end."""
    handover = Handover.from_command_line("A worker of the router.")
    tie_to(handover.supervisor)
    set_up_logging("worker")
    uvloop.run(_run(handover))


if __name__ == "__main__":
    main()
