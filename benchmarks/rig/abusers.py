"""Clients that mean no good: ``python -m benchmarks.rig.abusers NAME HOST:PORT --seconds N``.

Each of `ABUSES` keeps at it for as long as it is told to, prints what it came to as JSON and ends. They run at a low
priority: where they share the machine with what they attack, it is the router's time that they are to take, not the
processor's.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import uvloop

from benchmarks.rig.processes import LOW_PRIORITY, BenchmarkError, limit_files, prepare_child

IDLE = 10_000
_SLOW = 1_000
_READERS = 200
_GREEDY = 8_000
_PER_SOURCE = 2_000
"""Connections from one loopback address, which has some 28,000 ports."""

BUILD_UP_S = {"idle": 8.0}
"""How long an abuse takes until all its connections are there, where that is long."""

USUAL_BUILD_UP_S = 2.0

_ENDS_S = 15.0
_DRIP_S = 0.5
_CONNECTING = 100


@dataclass(slots=True)
class Tally:
    """What an abuse came to.

    Attributes:
        opened: connections that were made.
        held: most that were open at once, as far as their client knew.
        refused: that could not be made, or that the router has closed.
        sent_mb: what was sent, in all.
    """

    opened: int = 0
    held: int = 0
    refused: int = 0
    sent_mb: float = 0.0


class Attack:
    """One attack under way.

    Args:
        address: of the router.
        until_s: when it is over; monotonic.
        count: of the connections of `idle`.

    Attributes:
        count: the argument.
        tally: what it has come to.
    """

    def __init__(self, address: str, until_s: float, count: int = IDLE) -> None:
        self.count = count
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._until_s = until_s
        self._turn = asyncio.Semaphore(_CONNECTING)
        self._open = 0
        self.tally = Tally()

    @property
    def over(self) -> bool:
        """Whether it has gone on for long enough."""
        return monotonic() >= self._until_s

    async def many(self, count: int, work: Callable[[socket.socket], Awaitable[None]], sources: int = 1) -> None:
        """Keep `count` connections at `work`, from as many loopback addresses as `sources`; lost ones stay lost."""
        await asyncio.gather(*(self._one(f"127.0.1.{1 + number % sources}", work) for number in range(count)))

    async def _one(self, source: str, work: Callable[[socket.socket], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            sock.bind((source, 0))
            connected = False
            try:
                async with self._turn:
                    await asyncio.wait_for(loop.sock_connect(sock, self._address), 5)
                connected = True
                self._open += 1
                self.tally.opened += 1
                self.tally.held = max(self.tally.held, self._open)
                await work(sock)
            except (OSError, TimeoutError, EOFError):
                self.tally.refused += 1
            self._open -= connected

    async def send(self, sock: socket.socket, data: bytes) -> None:
        """Send all of it, or give up when the time is over."""
        self.tally.sent_mb += len(data) / 1e6
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.get_running_loop().sock_sendall(sock, data), max(0.01, self._until_s - monotonic())
            )

    async def drip(self, sock: socket.socket, data: bytes) -> None:
        """Send a byte now and then; the connection's end counts as refused."""
        loop = asyncio.get_running_loop()
        at = 0
        while not self.over:
            await loop.sock_sendall(sock, data[at % len(data) :][:1])
            at += 1
            await asyncio.sleep(_DRIP_S)

    async def hold(self, sock: socket.socket) -> None:
        """Keep the connection until the end, whose early coming counts as refused."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            while True:
                if not await asyncio.wait_for(loop.sock_recv(sock, 65_536), max(0.01, self._until_s - monotonic())):
                    raise EOFError


async def slow_heads(attack: Attack) -> None:
    """Slowloris: a thousand heads that never end, byte by byte."""

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")
        await attack.drip(sock, b"a")

    await attack.many(_SLOW, work)


async def slow_bodies(attack: Attack) -> None:
    """A thousand bodies of a megabyte, byte by byte."""

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        await attack.drip(sock, b"a")

    await attack.many(_SLOW, work)


async def slow_readers(attack: Attack) -> None:
    """Two hundred clients that each ask for ten times a megabyte, and read nothing."""

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, b"GET /megabyte HTTP/1.1\r\nhost: a\r\n\r\n" * 10)
        await asyncio.sleep(max(0.0, attack._until_s - monotonic()))

    await attack.many(_READERS, work)


async def flood(attack: Attack) -> None:
    """Connections, one after another, each closed as soon as it is made."""

    async def nothing(_sock: socket.socket) -> None:
        return

    while not attack.over:
        await attack.many(50, nothing, sources=50)


async def header_bombs(attack: Attack) -> None:
    """Heads of a megabyte, and of ten thousand lines, one after another."""
    long = b"GET / HTTP/1.1\r\nhost: a\r\nx-long: " + b"a" * 1_000_000
    many = b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 10_000 + b"\r\n"

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, long if attack.tally.opened % 2 else many)
        await attack.hold(sock)

    while not attack.over:
        await attack.many(10, work, sources=10)


async def huge_bodies(attack: Attack) -> None:
    """Eight uploads in chunks, which do not end."""
    chunk = b"40000\r\n" + b"a" * 262_144 + b"\r\n"

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        while not attack.over:
            await attack.send(sock, chunk)

    await attack.many(8, work)


async def idle(attack: Attack) -> None:
    """Ten thousand connections, or another number, from several addresses that have asked for something once."""

    async def work(sock: socket.socket) -> None:
        await attack.send(sock, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        await attack.hold(sock)

    await attack.many(attack.count, work, sources=-(-attack.count // _PER_SOURCE))


async def greedy(attack: Attack) -> None:
    """More connections from one address than `limits.connections_per_client` allows."""
    await attack.many(_GREEDY, attack.hold)


ABUSES: dict[str, Callable[[Attack], Awaitable[None]]] = {
    "slow_heads": slow_heads,
    "slow_bodies": slow_bodies,
    "slow_readers": slow_readers,
    "flood": flood,
    "header_bombs": header_bombs,
    "huge_bodies": huge_bodies,
    "greedy": greedy,
    "idle": idle,
}
"""By name."""


class Abuser:
    """An abuse under way in a process of its own.

    Args:
        process: the one.
        name: of `ABUSES`.
        seconds: that it takes.
    """

    def __init__(self, process: "subprocess.Popen[str]", name: str, seconds: float) -> None:
        self._process = process
        self._name = name
        self._seconds = seconds

    def tally(self) -> Tally:
        """Wait for its end, and return what it has come to.

        Raises:
            BenchmarkError: it could not be tried.
        """
        try:
            output, problem = self._process.communicate(timeout=self._seconds + _ENDS_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"the abuse {self._name} did not end in time") from None
        if self._process.returncode:
            raise BenchmarkError(f"the abuse {self._name} failed: {problem.strip()[-800:]}")
        return Tally(**json.loads(output))


@contextlib.contextmanager
def abused(name: str, address: str, seconds: float, count: int = IDLE) -> Iterator[Abuser]:
    """Have a router abused for so long, or until the block ends; `count` is of the connections of `idle`."""
    how = ["--seconds", f"{seconds:g}", "--count", str(count)]
    command = [sys.executable, "-m", "benchmarks.rig.abusers", name, address, *how]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare_child(None),
    )
    try:
        yield Abuser(process, name, seconds)
    finally:
        process.kill()
        process.wait()


def allow_connections(count: int) -> None:
    """Raise this process's limit of open files, which routers and abusers inherit.

    Raises:
        BenchmarkError: the system does not allow as many as are needed.
    """
    if limit_files() < count + 1_000:
        raise BenchmarkError(f"{count:,} connections need as many open files: raise the hard limit (ulimit -Hn)")


async def _attack(name: str, address: str, seconds: float, count: int) -> Tally:
    until_s = monotonic() + seconds
    attack = Attack(address, until_s, count)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ABUSES[name](attack), seconds + 1)
    return attack.tally


def main() -> None:
    """Attack, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig.abusers", description=main.__doc__)
    parser.add_argument("name", choices=list(ABUSES))
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=IDLE, help="of the connections of idle")
    chosen = parser.parse_args()
    os.nice(LOW_PRIORITY)
    most = max(_GREEDY, chosen.count)
    if limit_files() < most + 100:
        sys.exit(f"{most} connections need as many open files: raise the hard limit (ulimit -Hn)")
    print(json.dumps(asdict(uvloop.run(_attack(chosen.name, chosen.address, chosen.seconds, chosen.count)))))


if __name__ == "__main__":
    main()
