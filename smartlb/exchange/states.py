"""The states of an exchange, and what may follow what.

docs/exchange.md draws its picture from this table.
"""

from collections.abc import Mapping
from typing import Final

NEW: Final = 0
"""It has arrived."""

SUSPENDED: Final = 1
"""A stage waits for something, such as the answer of another server."""

COLLECTING: Final = 2
"""A stage needs the whole body, which is still coming."""

WAITING: Final = 3
"""It waits in its pool's queue for a backend with room."""

CONNECTING: Final = 4
"""A connection to its backend is being opened."""

SENDING: Final = 5
"""The request goes to the backend, as it comes from the client."""

AWAITING: Final = 6
"""The backend has all of the request, or is to say that it wants the rest; the response has not begun."""

RELAYING: Final = 7
"""The response goes to the client."""

TUNNEL: Final = 8
"""Bytes go both ways, in a protocol of their own."""

OVER: Final = 9
"""It has its last record, and nothing follows."""

NAMES: Final = (
    "new",
    "suspended",
    "collecting",
    "waiting",
    "connecting",
    "sending",
    "awaiting",
    "relaying",
    "tunnel",
    "over",
)
"""Of the states, by number."""

TRANSITIONS: Final[Mapping[int, frozenset[int]]] = {
    NEW: frozenset((SUSPENDED, COLLECTING, WAITING, CONNECTING, SENDING, AWAITING, OVER)),
    SUSPENDED: frozenset((SUSPENDED, COLLECTING, WAITING, CONNECTING, SENDING, AWAITING, OVER)),
    COLLECTING: frozenset((SUSPENDED, WAITING, CONNECTING, AWAITING, OVER)),
    WAITING: frozenset((CONNECTING, SENDING, AWAITING, OVER)),
    CONNECTING: frozenset((WAITING, CONNECTING, SENDING, AWAITING, RELAYING, OVER)),
    SENDING: frozenset((AWAITING, RELAYING, OVER)),
    AWAITING: frozenset((WAITING, CONNECTING, SENDING, AWAITING, RELAYING, TUNNEL, OVER)),
    RELAYING: frozenset((WAITING, CONNECTING, AWAITING, OVER)),
    TUNNEL: frozenset((OVER,)),
    OVER: frozenset(),
}
"""What may follow each state.

A retry leads to another backend: to a connection that is opened or is there, or into the queue. While the request is
still `SENDING` there is none, as not all of it is here to be sent again. From `RELAYING` there is one only where
nothing of the response has reached the client yet.
"""


def mermaid() -> str:
    """The table as a state diagram for Mermaid."""
    lines = ["stateDiagram-v2", f"    [*] --> {NAMES[NEW]}"]
    for state, following in TRANSITIONS.items():
        lines += [f"    {NAMES[state]} --> {NAMES[after]}" for after in sorted(following)]
    return "\n".join([*lines, f"    {NAMES[OVER]} --> [*]"])
