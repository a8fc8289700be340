"""An open loop at a fixed rate: requests are due at random times that do not depend on the answers.

The times are a Poisson process from a fixed seed, the same for every proxy. Latency counts from when a
request was due, not from when a connection was free to send it, so that a stall shows in all that it
delayed. One thread and `select`, whose timeout has microseconds, keep the generator's own lateness below that
of an event loop with millisecond timers.
"""

import argparse
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

from benchmarks.rig.load import Load, percentile
from benchmarks.rig.processes import BenchmarkError, prepare_child
from benchmarks.rig.shapes import SHAPES, Shape

_GRACE_S = 2.0
"""How long answers may be late after the last request was due."""


def request_bytes(shape: Shape, address: str) -> bytes:
    """Return `shape` as it goes over the wire to `address`."""
    lines = [f"{shape.method} {shape.path} HTTP/1.1", f"Host: {address}"]
    lines += [f"{name}: {value}" for name, value in shape.headers.items()]
    if shape.body:
        lines.append(f"Content-Length: {len(shape.body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + shape.body


def message_length(received: bytes) -> int | None:
    """Return how many bytes the response at the start of `received` has, None while its head is incomplete.

    Raises:
        ValueError: the head gives no Content-Length.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in received[:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + 4 + int(value)
    raise ValueError("a response without Content-Length")


class _Connection:
    """One keep-alive connection and the request under way on it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=_GRACE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due_s = 0.0
        self._received = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due_s: float) -> None:
        self.due_s = due_s
        self._received = b""
        self.socket.sendall(request)

    def receive(self) -> bool | None:
        """Take in what has come: None while the response is incomplete, then whether it was a 2xx.

        Raises:
            ValueError: the connection or the response broke off.
        """
        data = self.socket.recv(262_144)
        if not data:
            raise ValueError("the connection was closed")
        self._received += data
        length = message_length(self._received)
        if length is None or len(self._received) < length:
            return None
        return self._received[9:10] == b"2"


def drive(address: str, shape: Shape, rate_per_s: float, seconds: float, connections: int, seed: int = 0) -> Load:
    """Send `shape` to `address` at `rate_per_s` for `seconds` over at most `connections` at once.

    Raises:
        BenchmarkError: nothing was answered.
        OSError: the address takes no connection.
    """
    request = request_bytes(shape, address)
    arrivals = random.Random(seed)
    idle = deque(_Connection(address) for _ in range(connections))
    busy: set[_Connection] = set()
    waiting: deque[float] = deque()
    latencies: list[float] = []
    errors = 0
    start = time.perf_counter()
    end = start + seconds
    due = start + arrivals.expovariate(rate_per_s)
    while True:
        now = time.perf_counter()
        while due <= now and due < end:
            waiting.append(due)
            due += arrivals.expovariate(rate_per_s)
        while waiting and idle:
            connection = idle.pop()
            try:
                connection.send(request, waiting.popleft())
            except OSError:
                errors += 1
                idle.append(_Connection(address))
            else:
                busy.add(connection)
        if due >= end and not busy and not waiting:
            break
        if now > end + _GRACE_S:
            errors += len(busy) + len(waiting)
            break
        until = due if due < end else end + _GRACE_S
        readable, _, _ = select.select(busy, [], [], max(0.0, until - time.perf_counter()))
        for connection in readable:
            try:
                answered = connection.receive()
            except (OSError, ValueError):
                errors += 1
                busy.discard(connection)
                connection.socket.close()
                idle.append(_Connection(address))
                continue
            if answered is not None:
                latencies.append(time.perf_counter() - connection.due_s)
                errors += not answered
                busy.discard(connection)
                idle.append(connection)
    for connection in (*idle, *busy):
        connection.socket.close()
    if not latencies:
        raise BenchmarkError(f"the paced load got no answer at all; errors: {errors}")
    latencies.sort()
    return Load(
        requests=len(latencies),
        seconds=max(seconds, time.perf_counter() - start),
        p50_ms=percentile(latencies, 0.5) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        errors=errors,
    )


def run(address: str, shape: Shape, seconds: float, connections: int, core: int | None) -> Load:
    """Run `drive` at the shape's rate in a process of its own on `core`."""
    command = [sys.executable, "-m", "benchmarks.rig.paced", address, shape.name]
    try:
        done = subprocess.run(
            [*command, "--seconds", str(seconds), "--connections", str(connections)],
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            cwd=Path(__file__).parents[2],
            preexec_fn=prepare_child(core),
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the paced load did not end within {seconds + 20:g} s") from None
    if done.returncode:
        raise BenchmarkError(f"the paced load failed: {done.stderr.strip()[-800:]}")
    return Load(**json.loads(done.stdout))


def main() -> None:
    """Drive one shape and print what came of it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig.paced", description=main.__doc__)
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("shape", choices=[name for name, shape in SHAPES.items() if shape.rate_per_s])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args()
    shape = SHAPES[chosen.shape]
    assert shape.rate_per_s is not None
    try:
        load = drive(chosen.address, shape, shape.rate_per_s, chosen.seconds, chosen.connections)
    except (BenchmarkError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
