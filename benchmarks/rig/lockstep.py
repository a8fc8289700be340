"""A fixed number of requests, for what is counted: all connections send one, then all get their answers."""

import socket
import ssl
from contextlib import ExitStack

from benchmarks.rig.paced import message_length, request_bytes
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.shapes import Shape

REQUESTS = 4_000
_CONNECTIONS = 16
_PATIENCE_S = 60.0
"""A router that valgrind executes is some fifty times slower than it is."""


def drive(address: str, shape: Shape, requests: int = REQUESTS) -> int:
    """Send `shape` so often, at least; returns how often.

    Raises:
        BenchmarkError: something was answered with anything but a 2xx, or not at all.
    """
    host, _, port = address.rpartition(":")
    request = request_bytes(shape, address)
    rounds = -(-requests // _CONNECTIONS)
    try:
        with ExitStack() as stack:
            connections = [stack.enter_context(_connected(host, int(port), tls=shape.tls)) for _ in range(_CONNECTIONS)]
            for _ in range(rounds):
                for connection in connections:
                    connection.sendall(request)
                for connection in connections:
                    _receive(connection)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"answered one of {requests} requests, shape {shape.name}, with {error}") from None
    return rounds * _CONNECTIONS


def _connected(host: str, port: int, *, tls: bool) -> socket.socket:
    plain = socket.create_connection((host, port), timeout=_PATIENCE_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


def _receive(connection: socket.socket) -> None:
    received = b""
    length: int | None = None
    while length is None or len(received) < length:
        data = connection.recv(262_144)
        if not data:
            raise ValueError("the end of the connection")
        received += data
        length = length or message_length(received)
    if received[9:10] != b"2":
        raise ValueError(received[9:40].decode("latin-1"))
