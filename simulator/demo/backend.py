"""One server of the demo's fleet: `python -m simulator.demo.backend --name b1 --cores 4 --speed 1.5`.

Service is waiting, not computing, so that a fleet fits on a small machine; queueing is real: `cores` requests
are served at once, the others wait their turn. A request says in its headers how much work it is
(`x-work-ms`) and of which class (`x-class`). `POST /fault` with ``{"slow": 4, "fail": 0.5}`` makes the server
four times slower and half of its requests fail at once; `GET /health` says 200 all the same, as half-broken
servers do.

The server prints ``{"port": N}`` when it listens, and ends with its standard input or after its lifetime.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httptools


@dataclass(slots=True)
class Job:
    """A request that waits for a core or is being served."""

    seconds: float
    done: Callable[[], None]
    abandoned: bool = False


class Station:
    """`cores` equal servers behind one FIFO queue.

    Attributes:
        slow: factor on the time of every job that starts from now on.
    """

    def __init__(self, cores: int, call_later: Callable[..., object]) -> None:
        self.slow = 1.0
        self._free = cores
        self._queue: deque[Job] = deque()
        self._call_later = call_later

    def add(self, job: Job) -> None:
        """Serve the job, now or when its turn comes."""
        self._queue.append(job)
        self._start()

    def _start(self) -> None:
        while self._free and self._queue:
            job = self._queue.popleft()
            if not job.abandoned:
                self._free -= 1
                self._call_later(job.seconds * self.slow, self._finish, job)

    def _finish(self, job: Job) -> None:
        self._free += 1
        if not job.abandoned:
            job.done()
        self._start()


class Backend:
    """The server's state, shared by its connections.

    Args:
        name: sent as `x-backend` with every answer.
        station: where requests are served.
        speed: work done in a unit of time by one core.
        class_speed: the same for classes that differ.
        draw: a random number in [0, 1), to decide which requests fail.
    """

    def __init__(
        self,
        name: str,
        station: Station,
        speed: float,
        class_speed: Mapping[str, float],
        draw: Callable[[], float],
    ) -> None:
        self.name = name
        self._station = station
        self._speed = speed
        self._class_speed = class_speed
        self._draw = draw
        self._fail = 0.0

    def handle(self, path: str, headers: Mapping[str, str], body: bytes, answer: Callable[[int], None]) -> Job | None:
        """Answer a request, at once or when it has been served; the job is returned in the second case."""
        if path == "/health":
            answer(200)
        elif path == "/fault":
            answer(self._set_fault(body))
        elif self._draw() < self._fail:
            answer(500)
        else:
            speed = self._class_speed.get(headers.get("x-class", ""), self._speed)
            job = Job(float(headers.get("x-work-ms", "0")) / 1000 / speed, lambda: answer(200))
            self._station.add(job)
            return job
        return None

    def _set_fault(self, body: bytes) -> int:
        try:
            fault = json.loads(body)
            slow, fail = float(fault.get("slow", 1)), float(fault.get("fail", 0))
        except (ValueError, TypeError, AttributeError):
            return 400
        self._station.slow, self._fail = slow, fail
        return 200


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; a client sends its next request after the answer to the last."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._parser: Any = httptools.HttpRequestParser(self)
        self._job: Job | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Spare the queue a request that nobody waits for."""
        if self._job:
            self._job.abandoned = True

    def data_received(self, data: bytes) -> None:
        """Parse; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, ValueError):
            self._transport.close()

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._path, self._headers, self._body = b"", dict[str, str](), b""

    def on_url(self, url: bytes) -> None:
        """Take in a part of the path."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Take in a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Hand the request over."""
        self._job = self._backend.handle(self._path.decode("latin-1"), self._headers, self._body, self._answer)

    def _answer(self, status: int) -> None:
        self._job = None
        body = b"ok\n" if status == 200 else b"error\n"
        head = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nx-backend: {self._backend.name}\r\n"
            f"content-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


def _class_speed(text: str) -> tuple[str, float]:
    name, _, speed = text.partition("=")
    return name, float(speed)


async def serve(options: argparse.Namespace) -> None:
    """Listen on a port that the system chooses, until standard input ends or the lifetime is over."""
    loop = asyncio.get_running_loop()
    station = Station(options.cores, loop.call_later)
    draw = random.Random(options.seed).random
    backend = Backend(options.name, station, options.speed, dict(options.class_speed), draw)
    server = await loop.create_server(lambda: Connection(backend), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    parent = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    try:
        await asyncio.wait_for(parent.read(), options.lifetime)
    except TimeoutError:
        print(f"{options.name}: end of its lifetime of {options.lifetime:g} s", file=sys.stderr)
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m simulator.demo.backend", description="One server of the demo.")
    parser.add_argument("--name", required=True, help="sent as x-backend with every answer")
    parser.add_argument("--cores", type=int, default=1, help="requests served at once")
    parser.add_argument("--speed", type=float, default=1.0, help="work done in a unit of time by one core")
    parser.add_argument("--class-speed", type=_class_speed, action="append", default=[], metavar="CLASS=SPEED")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of requests that fail")
    parser.add_argument("--lifetime", type=float, default=600.0, help="seconds after which it ends by itself")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
