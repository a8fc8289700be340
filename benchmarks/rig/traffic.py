"""An open loop of many kinds of traffic, whose every request is accounted for.

Requests are due at the times of a Poisson process, whether earlier ones were answered or not; latency counts from when
a request was due. Nothing is sent twice: a request whose connection ends, or that is answered with anything but a 2xx,
is lost. Beside them some WebSocket connections and event streams are kept open, and opened again when they end.
"""

import asyncio
import base64
import contextlib
import os
import random
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

import httptools

from benchmarks.rig.origin import EVENT_S

OK = "ok"
GIVEN_UP = "given up"
"""What became of a request that its client reset."""

BROKEN = "connection ended"
TIMED_OUT = "no answer in time"
NOT_CONNECTED = "not connected"

_CLOSE_SHARE = 0.05
"""After so many of the responses the client closes its connection: there are always new ones."""

_RESET = struct.pack("ii", 1, 0)
_SILENCE_S = 2.0
_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request.

    Attributes:
        name: for reports.
        share: of all requests; those of all kinds are 1 together.
        request: what is sent.
        replayable: whether a router may send it to another backend as well.
        tls: whether it goes to the listener with TLS.
    """

    name: str
    share: float
    request: bytes
    replayable: bool = True
    tls: bool = False


KINDS = (
    Kind("GET", 0.7, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    Kind("GET over TLS", 0.15, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", tls=True),
    Kind(
        "POST",
        0.15,
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1_000,
        replayable=False,
    ),
)


@dataclass(slots=True)
class Request:
    """One request and what became of it.

    Attributes:
        kind: of request.
        due_s: when it was due; monotonic.
        ended_s: when it was over.
        port: of the client's end of its connection; 0 where there was none.
        result: `OK`, or how it was lost.
    """

    kind: Kind
    due_s: float
    ended_s: float = 0.0
    port: int = 0
    result: str = ""

    @property
    def lost(self) -> bool:
        """Whether its client has got no good answer, and has not gone away itself."""
        return self.result not in (OK, GIVEN_UP)


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A long connection that has ended unasked.

    Attributes:
        kind: WebSocket or event stream.
        at_s: when; monotonic.
        port: of the client's end.
    """

    kind: str
    at_s: float
    port: int


class _Connection(asyncio.Protocol):
    """A connection of one kind of address, with at most one request under way."""

    def __init__(self, load: "Traffic", *, tls: bool) -> None:
        self.tls = tls
        self.port = 0
        self.request: Request | None = None
        self._load = load
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one.
        self.port = transport.get_extra_info("sockname")[1]

    def send(self, request: Request) -> None:
        """Send a request; the load hears of its end."""
        self.request = request
        request.port = self.port
        if self._transport.is_closing():
            self._finish(BROKEN)
            return
        self._parser: Any = httptools.HttpResponseParser(self)
        self._timeout = self._load.loop.call_later(self._load.timeout_s, self._finish, TIMED_OUT)
        self._transport.write(request.kind.request)

    def reset(self) -> None:
        """Leave, by a reset, whatever is under way."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._finish(GIVEN_UP)

    @property
    def open(self) -> bool:
        """Whether it can carry a request."""
        return not self._transport.is_closing()

    def close(self) -> None:
        """Close it in order."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self.request is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._finish("malformed response")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        keep = self._parser.should_keep_alive() and random.random() > _CLOSE_SHARE
        self._finish(OK if 200 <= status < 300 else str(status), keep=keep)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._load.closed(self)
        if self.request is not None:
            self._finish(BROKEN)

    def _finish(self, result: str, *, keep: bool = False) -> None:
        request, self.request = self.request, None
        if self._timeout is not None:
            self._timeout.cancel()
        if request is not None:
            self._load.finished(request, result)
        if keep:
            self._load.free(self)
        elif result in (BROKEN, TIMED_OUT, GIVEN_UP):
            self._transport.abort()
        else:
            self._transport.close()


@dataclass(slots=True)
class Traffic:
    """The load, and the account of it.

    Args:
        plain, secure: HOST:PORT of the listeners.
        trust: what the certificate of `secure` is checked by.
        rate_per_s: requests a second, of all kinds.
        seed: of arrivals and kinds.
        streams: of each kind of long connection.
        timeout_s: after which a request is lost.

    Attributes:
        requests: those that are over.
        ends: long connections that have ended unasked.
        late_s: by what the generator itself was late at worst.
        alive: whether it still sends.
    """

    plain: str
    secure: str
    trust: ssl.SSLContext
    rate_per_s: float
    seed: int
    streams: int = 4
    timeout_s: float = 5.0
    requests: list[Request] = field(default_factory=list)
    ends: list[StreamEnd] = field(default_factory=list)
    late_s: float = 0.0
    alive: bool = True
    keep_requests: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop = field(init=False)
    _idle: dict[bool, list[_Connection]] = field(default_factory=lambda: {False: [], True: []})
    _every: set[_Connection] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Send until `stop` is called, and then wait for the last answers."""
        self.loop = asyncio.get_running_loop()
        rng = random.Random(self.seed)
        long = [
            self.loop.create_task(self._keep_open(kind, work))
            for kind, work in (("WebSocket", self._websocket), ("event stream", self._events))
            for _ in range(self.streams)
        ]
        due_s = monotonic()
        try:
            while self.alive:
                due_s += rng.expovariate(self.rate_per_s)
                if (wait_s := due_s - monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                self.late_s = max(self.late_s, monotonic() - due_s)
                kind = rng.choices(KINDS, [kind.share for kind in KINDS])[0]
                self._send(Request(kind, due_s))
            last_s = monotonic() + self.timeout_s
            while (self._tasks or any(one.request for one in self._every)) and monotonic() < last_s:
                await asyncio.sleep(0.02)
        finally:
            for task in (*long, *self._tasks):
                task.cancel()
            for connection in list(self._every):
                connection.close()
            await asyncio.gather(*long, return_exceptions=True)

    def stop(self) -> None:
        """Send no more."""
        self.alive = False

    def reset_some(self, rng: random.Random, count: int) -> int:
        """Reset up to `count` connections that have a request under way; returns how many."""
        busy = [one for one in self._every if one.request is not None]
        chosen = rng.sample(busy, min(count, len(busy)))
        for connection in chosen:
            connection.reset()
        return len(chosen)

    # What connections report

    def finished(self, request: Request, result: str) -> None:
        """Account for a request."""
        request.ended_s, request.result = monotonic(), result
        counted = result if result in (OK, GIVEN_UP) else f"{result} for a {request.kind.name}"
        self.counts[counted] = self.counts.get(counted, 0) + 1
        if self.keep_requests:
            self.requests.append(request)

    def free(self, connection: _Connection) -> None:
        """Take back a connection that can carry another request."""
        self._idle[connection.tls].append(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._every.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle[connection.tls].remove(connection)

    def _send(self, request: Request) -> None:
        idle = self._idle[request.kind.tls]
        while idle:
            connection = idle.pop()
            if connection.open:
                connection.send(request)
                return
        task = self.loop.create_task(self._send_on_new(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_on_new(self, request: Request) -> None:
        tls = request.kind.tls
        host, _, port = (self.secure if tls else self.plain).rpartition(":")
        options: Mapping[str, Any] = {"ssl": self.trust, "server_hostname": "localhost"} if tls else {}
        sock = socket.socket()
        sock.setblocking(False)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.loop.sock_connect(sock, (host, int(port)))
                request.port = sock.getsockname()[1]
                make: Callable[[], _Connection] = lambda: _Connection(self, tls=tls)  # noqa: E731
                _, connection = await self.loop.create_connection(make, sock=sock, **options)
        except (OSError, TimeoutError):
            sock.close()
            self.finished(request, NOT_CONNECTED)
            return
        self._every.add(connection)
        connection.send(request)

    # Long connections

    async def _keep_open(self, kind: str, work: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> None:
        host, _, port = self.plain.rpartition(":")
        while self.alive:
            own = 0
            writer = None
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                own = writer.get_extra_info("sockname")[1]
                await work(reader, writer)
            except (OSError, EOFError, TimeoutError):
                if self.alive:
                    self.ends.append(StreamEnd(kind, monotonic(), own))
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(_AGAIN_S)

    async def _websocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = base64.b64encode(os.urandom(16))
        writer.write(
            b"GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n" % key
        )
        async with asyncio.timeout(_SILENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise EOFError("the handshake was refused")
        frame = b"\x89\x84\0\0\0\0ping"  # a ping, masked with zeros
        while self.alive:
            writer.write(frame)
            async with asyncio.timeout(_SILENCE_S):
                await reader.readexactly(len(frame))
            await asyncio.sleep(EVENT_S)

    async def _events(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while self.alive:
            async with asyncio.timeout(_SILENCE_S):
                if not await reader.read(65_536):
                    raise EOFError("the stream ended")
