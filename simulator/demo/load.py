"""The load generator: `python -m simulator.demo.load ARRIVALS RESULTS --target HOST:PORT ...`.

Open loop: every request is sent at its scheduled time, whether earlier ones were answered or not, and its
latency counts from that time, so that a slow router cannot better its figures by slowing the requests down.
It runs in a process of its own, so that nothing else the demo does delays it, and records how late it sent.

It prints ``{"started_s": ...}`` (monotonic clock), a line of progress every half second, and
``{"saved": FILE}`` when the array of `RESULT` is written. It ends then, or with its standard input.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import httptools
import numpy as np
import numpy.typing as npt

ARRIVAL = np.dtype([("at_s", "<f8"), ("request_class", "u1"), ("work_ms", "<f8")])
"""A scheduled request; `at_s` counts from the start."""

RESULT = np.dtype(
    [
        ("at_s", "<f8"),
        ("request_class", "u1"),
        ("latency_s", "<f8"),  # from the scheduled arrival
        ("late_s", "<f8"),  # from the scheduled arrival to when the generator took it up
        ("waited", "?"),  # for one of the generator's own connections: its bound was reached
        ("status", "<i2"),  # of HTTP, or TIMED_OUT or BROKEN
        ("backend", "<i2"),  # index in the fleet, -1 where none answered
    ]
)
"""What became of a request."""

TIMED_OUT = -1
BROKEN = 0

Array = npt.NDArray[np.void]

_PROGRESS_S = 0.5
_RECENT_S = 2.0


class Connection(asyncio.Protocol):
    """One connection to the router; it carries a request at a time."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._request: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: int, head: bytes) -> None:
        """Send a request; the generator hears of its end."""
        self._request = request
        self._backend = ""
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport.write(head)

    def give_up(self) -> None:
        """Close at once; the request under way, if any, is no longer of interest."""
        self._request = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note who answered."""
        if name.lower() == b"x-backend":
            self._backend = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Report, and be free for the next request if the connection stays open."""
        request, self._request = self._request, None
        stays_open = self._parser.should_keep_alive()
        if not stays_open:
            self._transport.close()
        if request is not None:
            self._generator.finished(request, self._parser.get_status_code(), self._backend)
        if stays_open:
            self._generator.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Report a request that got no answer."""
        if self._request is not None:
            self._generator.finished(self._request, BROKEN, "")
        self._generator.closed(self)


class Generator:
    """Sends the arrivals on time and records what becomes of them.

    Args:
        host: of the router.
        port: of the router.
        arrivals: an array of `ARRIVAL`, ascending by time.
        classes: names; sent as `x-class`.
        backends: names, by which `x-backend` is known.
        timeout_s: after which a request has failed, counted from its scheduled arrival.
        max_connections: requests that find all of them busy wait, which the results tell.
    """

    def __init__(
        self,
        host: str,
        port: int,
        arrivals: Array,
        *,
        classes: Sequence[str],
        backends: Sequence[str],
        timeout_s: float,
        max_connections: int,
    ) -> None:
        self._host, self._port = host, port
        self._arrivals = arrivals
        self._classes = classes
        self._backends = {name: at for at, name in enumerate(backends)}
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._results: Array = np.zeros(len(arrivals), RESULT)
        self._results["at_s"] = arrivals["at_s"]
        self._results["request_class"] = arrivals["request_class"]
        self._results["backend"] = -1
        self._idle: list[Connection] = []
        self._connections = 0
        self._carriers: dict[int, Connection] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[int] = deque()
        self._timeouts: dict[int, asyncio.TimerHandle] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self.sent = self.done = self.failed = 0

    async def run(self, started_s: float) -> Array:
        """Send everything; returns when the last request has ended.

        Args:
            started_s: the loop's time from which the arrivals count.
        """
        self._loop = asyncio.get_running_loop()
        self._started_s = started_s
        self._all_done = asyncio.Event()
        for request, at_s in enumerate(self._arrivals["at_s"].tolist()):
            delay = started_s + at_s - self._loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self._dispatch(request, at_s)
        if self.done < len(self._arrivals):
            await self._all_done.wait()
        for connection in list(self._idle):
            connection.give_up()
        return self._results

    def progress(self) -> dict[str, float | None]:
        """Counts so far, and latencies of the last two seconds' successes and time-outs."""
        now = self._loop.time()
        while self._recent and self._recent[0][0] < now - _RECENT_S:
            self._recent.popleft()
        latencies = [latency * 1000 for _, latency in self._recent]
        p50, p99 = np.percentile(latencies, (50, 99)).tolist() if latencies else (None, None)
        counts = {"sent": self.sent, "done": self.done, "failed": self.failed}
        return {"elapsed_s": now - self._started_s, **counts, "p50_ms": p50, "p99_ms": p99}

    def finished(self, request: int, status: int, backend: str) -> None:
        """Record a request's end."""
        self._timeouts.pop(request).cancel()
        self._carriers.pop(request, None)
        now = self._loop.time()
        result = self._results[request]
        latency_s = now - self._started_s - float(result["at_s"])
        result["latency_s"], result["status"] = latency_s, status
        result["backend"] = self._backends.get(backend, -1)
        self.done += 1
        self.failed += status != 200
        if status in (200, TIMED_OUT):
            self._recent.append((now, latency_s))
        if self.done == len(self._arrivals):
            self._all_done.set()

    def free(self, connection: Connection) -> None:
        """Take back a connection that can carry another request."""
        while self._waiting:
            request = self._waiting.popleft()
            if request in self._timeouts:
                self._send(connection, request)
                return
        self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._connect_for_waiting()

    def _connect_for_waiting(self) -> None:
        while self._waiting and self._connections < self._max_connections:
            request = self._waiting.popleft()
            if request in self._timeouts:
                self._connect(request)

    def _dispatch(self, request: int, at_s: float) -> None:
        due_s = self._started_s + at_s
        self._results[request]["late_s"] = self._loop.time() - due_s
        self._timeouts[request] = self._loop.call_at(due_s + self._timeout_s, self._timed_out, request)
        self.sent += 1
        if self._idle:
            self._send(self._idle.pop(), request)
        elif self._connections < self._max_connections:
            self._connect(request)
        else:
            self._results[request]["waited"] = True
            self._waiting.append(request)

    def _connect(self, request: int) -> None:
        self._connections += 1
        task = self._loop.create_task(self._send_on_new_connection(request))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _send_on_new_connection(self, request: int) -> None:
        try:
            _, connection = await self._loop.create_connection(lambda: Connection(self), self._host, self._port)
        except OSError:
            self._connections -= 1
            if request in self._timeouts:
                self.finished(request, BROKEN, "")
            return
        if request in self._timeouts:
            self._send(connection, request)
        else:
            self.free(connection)

    def _send(self, connection: Connection, request: int) -> None:
        arrival = self._arrivals[request]
        name = self._classes[arrival["request_class"]]
        self._carriers[request] = connection
        connection.send(
            request,
            f"GET /{name} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\nx-class: {name}\r\n"
            f"x-work-ms: {arrival['work_ms']:.3f}\r\n\r\n".encode(),
        )

    def _timed_out(self, request: int) -> None:
        connection = self._carriers.get(request)
        self.finished(request, TIMED_OUT, "")
        if connection:
            connection.give_up()


async def generate(options: argparse.Namespace) -> None:
    """Replay the arrivals of a file and write the results to another."""
    host, _, port = options.target.rpartition(":")
    arrivals = np.load(options.arrivals)
    generator = Generator(
        host,
        int(port),
        arrivals,
        classes=options.classes.split(","),
        backends=options.backends.split(","),
        timeout_s=options.timeout,
        max_connections=options.connections,
    )
    loop = asyncio.get_running_loop()
    parent = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    started_s = loop.time()
    print(json.dumps({"started_s": time.monotonic()}), flush=True)
    sending = loop.create_task(generator.run(started_s))
    orphaned = loop.create_task(parent.read())
    while not sending.done() and not orphaned.done():
        await asyncio.wait((sending, orphaned), timeout=_PROGRESS_S, return_when=asyncio.FIRST_COMPLETED)
        print(json.dumps(generator.progress()), flush=True)
    if sending.done():
        np.save(options.results, sending.result())
        print(json.dumps({"saved": options.results}), flush=True)


def main() -> None:
    """Read the command line and generate load."""
    parser = argparse.ArgumentParser(prog="python -m simulator.demo.load", description="Open-loop load generator.")
    parser.add_argument("arrivals", help="file with an array of arrivals")
    parser.add_argument("results", help="file to write the array of results to")
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="where to send the requests")
    parser.add_argument("--classes", required=True, help="names of the request classes, separated by commas")
    parser.add_argument("--backends", required=True, help="names of the backends, separated by commas")
    parser.add_argument("--timeout", type=float, default=4.0, help="seconds after which a request has failed")
    parser.add_argument("--connections", type=int, default=400, help="most connections at once")
    asyncio.run(generate(parser.parse_args()))


if __name__ == "__main__":
    main()
