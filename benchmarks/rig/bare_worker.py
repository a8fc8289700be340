"""A worker's data path without sockets: requests go in as bytes, and whoever drives it plays the backends.

What is left out is what the kernel and the event loop take for a request. The rest is as in a worker: routing, stages,
the learned policy with learned weights, telemetry.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from time import monotonic
from typing import Any

import numpy as np

from benchmarks.rig.processes import BenchmarkError
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.downstream.http1 import ClientConnection
from smartlb.process.handover import layout_of
from smartlb.process.lifetime import seldom_collect
from smartlb.upstream.http1 import BackendConnection
from smartlb.wire.forwarding import TrustedNetworks
from smartlb.worker.worker import Worker

REQUEST = b"GET /small HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: benchmark\r\nAccept: */*\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: benchmark\r\nDate: Tue, 14 Jul 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 64\r\nConnection: keep-alive\r\n\r\n" + b"x" * 64
)
_RING_RECORDS = 8_192


class _Transport:
    """Takes what is written; nobody reads it."""

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 40_000) if name == "peername" else None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Client(_Transport):
    """A client's connection.

    Attributes:
        answers: of backends, that it has got.
        refusal: the last answer that was no backend's.
    """

    def __init__(self, worker: Worker) -> None:
        self.answers = 0
        self.refusal = b""
        connection = ClientConnection(worker.front, TrustedNetworks(()))
        connection.connection_made(self)  # type: ignore[arg-type]
        self.send = connection.data_received

    def write(self, data: bytes) -> None:
        """Get an answer."""
        if data[9:12] == b"200":
            self.answers += 1
        else:
            self.refusal = data


class _BackendTransport(_Transport):
    def __init__(self, connection: BackendConnection, asked: deque[BackendConnection]) -> None:
        self._connection = connection
        self._asked = asked

    def write(self, _data: bytes) -> None:
        self._asked.append(self._connection)


class BareWorker:
    """A worker that has one connection to each of its backends.

    Args:
        pool: of the configuration; all requests go there, under the learned policy.

    Attributes:
        worker: the one.
        asked: connections on which backends have got a request, in order; they answer by `data_received`.
    """

    def __init__(self, pool: Mapping[str, Any]) -> None:
        settings = {"listeners": [{"bind": "127.0.0.1:0"}], "pools": {"pool": {**pool, "policy": "learned"}}}
        config = Config.model_validate({**settings, "routes": [{"name": "all", "pool": "pool"}], "workers": 1})
        numbering = Numbering(config)
        layout = layout_of(config, numbering, _RING_RECORDS)
        segment = Segment(memoryview(bytearray(layout.size)), layout)
        self._segment = segment
        backends = len(numbering.backends)
        even = np.full((1, backends), 1.0 / backends)
        none, cost_s = np.zeros_like(even), np.full_like(even, 0.01)
        segment.snapshot.publish(
            Snapshot(
                1,
                inf,
                even,  # which is never too old
                none,
                cost_s,
                cost_s,
                none,
                samples=0,
                drifts=0,
            )
        )
        self.worker = Worker(config, segment, 0, Random(1), asyncio.new_event_loop())
        self.allow(range(backends))
        self.asked: deque[BackendConnection] = deque()
        connections = self.worker.pools["pool"].connections
        for position in range(backends):
            connection = BackendConnection(connections, self.worker.clock, position)
            connection.connection_made(_BackendTransport(connection, self.asked))  # type: ignore[arg-type]
            connections.keep(connection, monotonic())
        self._client = self.client()
        seldom_collect()

    def client(self) -> Client:
        """One more client."""
        return Client(self.worker)

    @property
    def in_flight(self) -> list[int]:
        """Requests that each backend has."""
        return [int(count) for count in self._segment.in_flight[0]]

    def allow(self, positions: Sequence[int]) -> None:
        """Say which backends may be picked, as the supervisor would."""
        self._segment.eligible[:] = 0
        self._segment.eligible[list(positions)] = 1
        self._segment.eligibility_version[0] += 1
        self.worker.take_in(monotonic())

    def serve(self, requests: int) -> None:
        """Send so many requests of one client, one after another, each answered at once.

        Raises:
            BenchmarkError: they were not all answered.
        """
        client, send, asked = self._client, self._client.send, self.asked
        before = client.answers
        try:
            for _ in range(requests):
                send(REQUEST)
                asked.popleft().data_received(RESPONSE)
        except IndexError:
            raise BenchmarkError(f"no backend was asked; the router has answered {client.refusal!r}") from None
        if client.answers - before != requests:
            raise BenchmarkError(f"some requests were answered with {client.refusal!r}")
