"""A worker that serves real sockets in the test's own process, and the clients that talk to it.

The test drives its clock: `LiveRouter.sweep` takes how far ahead the time is, so that no test waits for a timeout.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from random import Random
from time import monotonic
from typing import Any

import numpy as np

from smartlb.config.affinity_secret import secrets_of
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.record import RECORD
from smartlb.core.segment import Gauge, Segment
from smartlb.core.snapshot import Snapshot
from smartlb.downstream.http2 import Http2ClientConnection
from smartlb.exchange.states import NAMES
from smartlb.process.handover import layout_of
from smartlb.stages.plan import RoutePlan
from smartlb.stages.stage import Stage
from smartlb.worker.listening import Listening, listen
from smartlb.worker.worker import Worker
from tests.eventually import eventually
from tests.proxy.message import Message, read_message
from tests.proxy.origin import Origin, Script, answering

Record = dict[str, Any]


class Client:
    """A client's connection, byte by byte if need be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a segment of its own as far as the kernel lets us."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def response(self, *, head: bool = False) -> Message:
        """The next response; `head` where it answers a HEAD request."""
        async with asyncio.timeout(10):
            return await read_message(self.reader, request=False, bodiless=head)

    async def ask(self, request: bytes) -> Message:
        """Send a request and read the response to it."""
        await self.send(request)
        return await self.response(head=request.startswith(b"HEAD "))

    async def rest(self) -> bytes:
        """All that comes until the router closes; a reset is an error."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def cut(self) -> bytes:
        """All that comes until the router breaks the connection off, by a reset or an end."""
        received = b""
        async with asyncio.timeout(10):
            try:
                while piece := await self.reader.read(65_536):
                    received += piece
            except OSError:
                pass
        return received

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()

    def reset(self) -> None:
        """Close it at once, with a reset where the router still sends."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


def request(method: str = "GET", path: str = "/", *headers: str, body: bytes | None = None) -> bytes:
    """A request's bytes, with Host, and with Content-Length where there is a body."""
    lines = [f"{method} {path} HTTP/1.1", "host: a.example", *headers]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


class LiveRouter:
    """A worker that listens, with the segment that it would share with supervisor and learner."""

    def __init__(self, config: Config, access_log: socket.socket | None) -> None:
        numbering = Numbering(config)
        layout = layout_of(config, numbering, 8_192)
        self.segment = Segment(memoryview(bytearray(layout.size)), layout)
        self.segment.eligible[:] = 1
        self.segment.eligibility_version[0] = 1
        loop = asyncio.get_running_loop()
        self.worker = Worker(config, self.segment, 0, Random(1), loop, access_log, secrets=secrets_of(config))
        self._config = config
        self._reader = self.segment.ring_reader(0)
        self._records: list[Record] = []
        self._server: Listening | None = None
        self._route = numbering.listeners[0]
        self.port = 0

    async def start(self) -> None:
        listener = self._config.listeners[0]
        if listener.protocol == "udp":
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind(("127.0.0.1", 0))
            self.port = bound.getsockname()[1]
            self._server = await self._listen(bound)
            self.tick()
            return
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        # Small, so that a client that does not read is felt soon.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.port = listening.getsockname()[1]
        self._server = await self._listen(listening)
        self.tick()

    async def _listen(self, bound: socket.socket) -> Listening:
        listener = self._config.listeners[0]
        return await listen(self.worker.front, self.worker.pools, listener, self._route, bound, alone=True)

    def stage(self, *stages: Stage) -> None:
        """Have the first route's requests pass through these stages, in place of those of the configuration."""
        plans = self.worker.front.plans
        plans[0] = RoutePlan(plans[0].pool, stages)

    @property
    def states(self) -> list[str]:
        """What the exchanges under way are doing, one for each client, in the words of `smartlb.exchange.states`."""
        clients = self.worker.admission.clients
        return [NAMES[client.exchange.state] for client in clients if client.exchange is not None]

    def tick(self, ahead_s: float = 0.0) -> None:
        """Let the worker take in what was published, `ahead_s` in the future."""
        self.worker.tick(monotonic() + ahead_s)

    def sweep(self, ahead_s: float = 0.0) -> None:
        """Let the worker look at its timeouts, `ahead_s` in the future."""
        self.worker.sweep(monotonic() + ahead_s)

    def publish(self, version: int, weight: Sequence[float], ahead_s: float = 0.0) -> None:
        """Publish a snapshot for one pool and one class, as the learner would."""
        row = np.array([weight])
        none, base_s, slope_s = np.zeros_like(row), np.where(row > 0.0, 0.01, 1.0), np.full_like(row, 0.01)
        self.segment.snapshot.publish(
            Snapshot(version, monotonic() + ahead_s, row, none, base_s, slope_s, none, samples=0, drifts=0)
        )
        self.tick(ahead_s)

    def set_eligible(self, *eligible: int) -> None:
        """Say which backends may be picked, as the supervisor would."""
        self.segment.eligible[:] = eligible
        self.segment.eligibility_version += 1
        self.tick()

    def gauge(self, gauge: Gauge) -> float:
        self.sweep()
        return float(self.segment.gauges[0, gauge])

    @property
    def in_flight(self) -> list[int]:
        return list(map(int, self.segment.in_flight[0]))

    async def records(self, count: int) -> list[Record]:
        """The telemetry of exactly `count` attempts since the last call, which may be still to come."""
        await eventually(lambda: len(self._taken()) >= count)
        records, self._records = self._taken(), []
        assert len(records) == count, records
        return records

    async def record(self) -> Record:
        """The telemetry of the one attempt since the last call."""
        return (await self.records(1))[0]

    async def outcomes(self, count: int) -> list[Outcome]:
        """How `count` attempts ended."""
        return [record["outcome"] for record in await self.records(count)]

    def _taken(self) -> list[Record]:
        for row in self._reader.read():
            record = {name: row[name].item() for name in RECORD.names or ()}
            self._records.append({**record, "outcome": Outcome(record["outcome"])})
        return self._records

    async def stop(self) -> None:
        """Stop listening and check that nothing is left behind."""
        assert self._server is not None
        self._server.close()
        try:
            for session in list(self.worker.admission.udp_sessions):
                session.drain(0.0)
            for client in list(self.worker.admission.clients):
                if isinstance(client, Http2ClientConnection):
                    client.drain(0.0)  # some clients keep such a connection for as long as they live
            self.sweep(ahead_s=2)
            await eventually(lambda: self.worker.idle and not any(self.in_flight))
        finally:
            for client in self.worker.admission.clients:
                client.transport.abort()
        assert self.gauge(Gauge.WAITING) == 0
        assert self.gauge(Gauge.CONNECTIONS) == 0


class Live:
    """What a test builds: origins, routers and clients, all of which end with it.

    Attributes:
        clients: every connection that ends with the test.
    """

    def __init__(self) -> None:
        self._origins: list[Origin] = []
        self._routers: list[LiveRouter] = []
        self.clients: list[Client] = []

    async def origin(self, script: Script = answering, tls: ssl.SSLContext | None = None) -> Origin:
        """A backend that follows a script."""
        origin = await Origin(script).start(tls=tls)
        self._origins.append(origin)
        return origin

    async def router(
        self,
        *backends: Origin | str | dict[str, Any],
        pool: dict[str, Any] | None = None,
        access_log: socket.socket | None = None,
        listener: dict[str, Any] | None = None,
        **config: Any,
    ) -> LiveRouter:
        """A router with one pool of `backends`, round robin unless `pool` says otherwise."""
        addresses = [backend.address if isinstance(backend, Origin) else backend for backend in backends]
        web = {"backends": addresses, "policy": "round_robin", **(pool or {})}
        listeners = [{"bind": "127.0.0.1:0", **(listener or {})}]
        checked = Config.model_validate({"listeners": listeners, "pools": {"web": web}, "workers": 1, **config})
        router = LiveRouter(checked, access_log)
        await router.start()
        self._routers.append(router)
        return router

    async def client(
        self, router: LiveRouter, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> Client:
        """A connection to a router."""
        client = Client(*await asyncio.open_connection("127.0.0.1", router.port, ssl=tls, server_hostname=server_name))
        self.clients.append(client)
        return client

    async def slow_client(self, router: LiveRouter) -> Client:
        """A client that takes little before it is read from."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", router.port))
        client = Client(*await asyncio.open_connection(sock=sock, limit=4_096))
        self.clients.append(client)
        return client

    async def pair(self, script: Script = answering, **settings: Any) -> tuple[Origin, LiveRouter, Client]:
        """An origin, a router before it and a client."""
        origin = await self.origin(script)
        router = await self.router(origin, **settings)
        return origin, router, await self.client(router)

    async def end(self) -> None:
        """Close everything in order, and check what must hold after any test."""
        for client in self.clients:
            client.writer.transport.abort()
        failures = []
        for stop in [*(router.stop for router in self._routers), *(origin.stop for origin in self._origins)]:
            try:
                await stop()
            except AssertionError as failure:
                failures.append(failure)
        if failures:
            raise ExceptionGroup("left behind by the test", failures)
