"""The sockets that the router listens on."""

import os
import socket

_BACKLOG = 4096


class CannotListen(Exception):
    """An address cannot be listened on; the message says which, why, and what to do."""


def bind(address: str, *, shared: bool) -> socket.socket:
    """A TCP socket that listens.

    It does so before anything accepts: connections wait in its queue while workers start or are replaced.

    Args:
        address: HOST:PORT, with an IPv6 host in brackets; port 0 lets the system choose.
        shared: let further sockets be bound to the same address, between which the kernel spreads connections.

    Raises:
        CannotListen: the address is taken, not allowed or not this machine's.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            # Without this look, a second router on the same address would silently take half of its connections.
            _refuse_taken(family, kind, protocol, target)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(target)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {address}: {_advice(error)}") from None
    return bound


def bind_for_workers(address: str, workers: int) -> list[socket.socket]:
    """One socket for each worker, all on the same address."""
    first = bind(address, shared=True)
    sockets = [first]
    for _ in range(workers - 1):
        another = socket.socket(first.family, first.type, first.proto)
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        another.bind(first.getsockname())
        another.listen(_BACKLOG)
        sockets.append(another)
    return sockets


def name_of(bound: socket.socket) -> str:
    """The HOST:PORT that a socket is bound to."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _refuse_taken(family: int, kind: int, protocol: int, target: object) -> None:
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)  # type: ignore[arg-type]


def _advice(error: OSError) -> str:
    text = error.strerror or os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return f"{text}; ports below 1024 need CAP_NET_BIND_SERVICE"
    return text
