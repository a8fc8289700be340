"""The sockets that the router listens on."""

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote

_BACKLOG = 4096

_QUIET_S = 60
_PROBE_EVERY_S = 15
_PROBES = 4
"""A connection that was quiet for so long is probed, so that a client that vanished without a word is noticed after two
minutes. Where requests may take for ever, nothing else would end its connection."""


class CannotListen(Exception):
    """An address cannot be listened on; the message says which, why, and what to do."""


def bind(address: str, *, shared: bool, listening: bool = True, udp: bool = False) -> socket.socket:
    """A TCP socket that listens, or a UDP socket.

    It does so before anything accepts: connections wait in its queue while workers start or are replaced.

    Args:
        address: HOST:PORT, with an IPv6 host in brackets; port 0 lets the system choose.
        shared: let further sockets be bound to the same address, between which the kernel spreads connections.
        listening: False where the first worker to accept from it is to begin.
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
        if listening and not udp:
            bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {address}: {_advice(error)}") from None
    return bound


def _another(first: socket.socket) -> socket.socket:
    """A further socket on the address of a shared one.

    Raises:
        OSError: it is not to be had, such as beside a socket that was made for another user.
    """
    another = socket.socket(first.family, first.type, first.proto)
    try:
        _reuse_address(another)
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        another.bind(first.getsockname())
    except OSError:
        another.close()
        raise
    return another


class Place(NamedTuple):
    """An address to listen on.

    Attributes:
        bind: as configured.
        udp: whether for datagrams.
    """

    bind: str
    udp: bool = False


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of one listener.

    Attributes:
        place: the address, as configured.
        sockets: all bound to it; the kernel spreads connections between them.
    """

    place: Place
    sockets: list[socket.socket]

    @property
    def name(self) -> str:
        """The address that clients connect to."""
        return name_of(self.sockets[0])

    def share(self, worker: int, workers: int) -> tuple[int, ...]:
        """The descriptors that a worker accepts from.

        Every socket has a worker, for what the kernel puts into a socket's queue would otherwise wait for ever, and be
        reset when it is closed. So a listener never has fewer sockets than before: where there are more of them than
        workers, some workers have several; where there are fewer, some workers have the same one.
        """
        count = len(self.sockets)
        own = self.sockets[worker::workers] if worker < count else [self.sockets[worker % count]]
        return tuple(each.fileno() for each in own)


def listen(places: Sequence[Place], workers: int, before: Sequence[Listening] = ()) -> list[Listening]:
    """Sockets for every address, one for each worker where that can be.

    Args:
        places: the addresses.
        workers: how many there are.
        before: what is listened on now, or was inherited. It is left as it is; its sockets are used again, for in their
            queues there may be connections. Beside these, new sockets do not listen yet: their workers will.

    Raises:
        CannotListen: an address is not to be had; what was opened is closed again.
    """
    left = list(before)
    found: list[Listening] = []
    try:
        for place in places:
            same = next((each for each in left if each.place == place), None)
            if same is None:
                sockets = [bind(place.bind, shared=True, listening=not before, udp=place.udp)]
            else:
                left.remove(same)
                sockets = list(same.sockets)
            found.append(Listening(place, sockets))
            for each in sockets:
                _notice_the_gone(each)
            if sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                with suppress(OSError):
                    while len(sockets) < workers:
                        sockets.append(_another(sockets[0]))
                        _notice_the_gone(sockets[-1])
                        if not before and not place.udp:
                            sockets[-1].listen(_BACKLOG)
    except CannotListen:
        close_all(found, but=before)
        raise
    return found


def given_name(address: str) -> str:
    """An address as the name of a descriptor that is passed on, in which no colon may be."""
    return quote(address, safe="")


def adopt(inherited: Iterable[tuple[str, int]], places: Sequence[Place]) -> tuple[list[Listening], list[str]]:
    """The sockets for some addresses among inherited ones, whoever bound them.

    Args:
        inherited: names and descriptors. A socket is for the address that it is bound to, or the one that its name is
            `given_name` of, which tells those apart that the system has chosen a port for.
        places: the addresses.

    Returns:
        What was found, and descriptions of the descriptors that are for no address; these are closed.
    """
    groups: dict[tuple[Place, Place], list[socket.socket]] = {}
    strangers = []
    for name, fd in inherited:
        try:
            each = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            strangers.append(f"descriptor {fd} ({name or 'without a name'}), which is no socket")
            continue
        if each.family in (socket.AF_INET, socket.AF_INET6) and each.type in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            udp = each.type == socket.SOCK_DGRAM
            groups.setdefault((Place(unquote(name), udp), Place(name_of(each), udp)), []).append(each)
        else:
            each.close()
            strangers.append(f"descriptor {fd} ({name or 'without a name'}), which is no TCP or UDP socket")
    found = []
    for place in places:
        key = next((key for key in groups if place in key), None)
        if key is not None:
            found.append(Listening(place, groups.pop(key)))
    for (_, place), left in groups.items():
        strangers.append(f"{place.bind}, where no listener is configured")
        close_all([Listening(place, left)])
    return found, strangers


def close_all(listening: Iterable[Listening], but: Iterable[Listening] = ()) -> None:
    """Close all sockets that are not also among others."""
    kept = {id(each) for other in but for each in other.sockets}
    for one in listening:
        for each in one.sockets:
            if id(each) not in kept:
                each.close()


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


def _notice_the_gone(listening: socket.socket) -> None:
    """Have the system probe connections that are quiet (RFC 9293, section 3.8.4); what is accepted inherits it."""
    if listening.type != socket.SOCK_STREAM:
        return
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _QUIET_S),
        ("TCP_KEEPALIVE", _QUIET_S),  # what macOS calls the same
        ("TCP_KEEPINTVL", _PROBE_EVERY_S),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if hasattr(socket, option):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _advice(error: OSError) -> str:
    text = error.strerror or os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return f"{text}; ports below 1024 need CAP_NET_BIND_SERVICE"
    return text
