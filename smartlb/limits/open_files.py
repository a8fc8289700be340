"""How many clients a worker can have at once with the open files that the system allows it."""

from typing import NamedTuple

_CONNECTION = 2
"""Open files of a client's connection: its own, and one to the backend while its request is under way. HAProxy counts
likewise (https://docs.haproxy.org/3.0/management.html, `ulimit-n`)."""

_RESERVE = 64
"""Open files of a worker that are no client's: what it was handed, the event loop, certificates that are read anew,
connections that are accepted only to be closed."""


class Room(NamedTuple):
    """What a worker admits at once.

    Attributes:
        connections: of clients.
        udp_sessions: likewise.
    """

    connections: int
    udp_sessions: int


def needed(wanted: Room, sockets: int) -> int:
    """Open files that a worker needs in order to admit what is wanted.

    Args:
        wanted: by the configuration; without a udp listener no UDP sessions.
        sockets: that it accepts from.
    """
    return _CONNECTION * wanted.connections + wanted.udp_sessions + sockets + _RESERVE


def admitted(open_files: int, wanted: Room, sockets: int) -> Room:
    """What a worker may admit so that it can always reach a backend: all that is wanted, or the same share of each.

    Args:
        open_files: that the system allows it.
        wanted: by the configuration; without a udp listener no UDP sessions.
        sockets: that it accepts from.
    """
    spare = sockets + _RESERVE
    share = min(1.0, max(0, open_files - spare) / (needed(wanted, sockets) - spare))
    return Room(max(1, int(wanted.connections * share)), int(wanted.udp_sessions * share))
