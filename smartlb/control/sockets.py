"""The sockets that the router listens on."""

import os
import socket

_BACKLOG = 4096


class CannotListen(Exception):
    """An address cannot be listened on; the message says which, why, and what to do."""


def bind(address: str, *, shared: bool, udp: bool = False) -> socket.socket:
    """A TCP socket that listens, or a UDP socket.

    It does so before anything accepts: connections wait in its queue while workers start or are replaced.

    Args:
        address: HOST:PORT, with an IPv6 host in brackets; port 0 lets the system choose.
        shared: let further sockets be bound to the same address, between which the kernel spreads connections.
        udp: for datagrams.

    Raises:
        CannotListen: the address is taken, not allowed or not this machine's.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None
    try:
        _reuse_address(bound)
        if shared:
            # Without this look, a second router on the same address would silently take half of its connections.
            _refuse_taken(family, kind, protocol, target)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(target)
        if not udp:
            bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {address}: {_advice(error)}") from None
    return bound


def bind_for_workers(address: str, workers: int, *, udp: bool = False) -> list[socket.socket]:
    """One socket for each worker, all on the same address."""
    first = bind(address, shared=True, udp=udp)
    sockets = [first]
    for _ in range(workers - 1):
        another = socket.socket(first.family, first.type, first.proto)
        _reuse_address(another)
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        another.bind(first.getsockname())
        if not udp:
            another.listen(_BACKLOG)
        sockets.append(another)
    return sockets


def name_of(bound: socket.socket) -> str:
    """The HOST:PORT that a socket is bound to."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _refuse_taken(family: int, kind: int, protocol: int, target: object) -> None:
    with socket.socket(family, kind, protocol) as probe:
        _reuse_address(probe)
        probe.bind(target)  # type: ignore[arg-type]


def _reuse_address(unbound: socket.socket) -> None:
    """Let a TCP address be bound whose last connections still fade out; with UDP it would let two share the address."""
    if unbound.type == socket.SOCK_STREAM:
        unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _advice(error: OSError) -> str:
    text = error.strerror or os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return f"{text}; ports below 1024 need CAP_NET_BIND_SERVICE"
    return text
