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
    """What a worker may admit so that it can always reach a backend.

    Where that is not all, connections and UDP sessions have half of the open files each, and what the one does not need
    is the other's.

    Args:
        open_files: that the system allows it.
        wanted: by the configuration; without a udp listener no UDP sessions.
        sockets: that it accepts from.
    """
    spare = max(0, open_files - sockets - _RESERVE)
    udp_sessions = min(wanted.udp_sessions, max(spare // 2, spare - _CONNECTION * wanted.connections))
    return Room(max(1, min(wanted.connections, (spare - udp_sessions) // _CONNECTION)), udp_sessions)
