# cython: annotation_typing=False
"""How a request ended, and whose doing it was."""

from enum import IntEnum, StrEnum


class Blame(StrEnum):
    """Who caused an outcome; only the backend's own failures count against a backend."""

    NOBODY = "nobody"
    CLIENT = "client"
    ROUTER = "router"
    BACKEND = "backend"


class Outcome(IntEnum):
    """How a request ended, as the telemetry records it (one byte).

    ``COMPLETE`` says that a whole response was relayed, whatever its status; see `failed`.
    """

    COMPLETE = 0

    # The client's doing.
    CLIENT_GONE = 1
    BAD_REQUEST = 2
    HEADER_TOO_LARGE = 3
    BODY_TOO_LARGE = 4
    CLIENT_TIMEOUT = 5
    NO_ROUTE = 6
    METHOD_REFUSED = 7
    RATE_LIMITED = 8

    # The router's doing: nowhere to send the request.
    NO_BACKEND = 9
    QUEUE_FULL = 10
    QUEUE_TIMEOUT = 11
    INTERNAL = 12
    HEDGE_LOST = 13  # nobody's: another attempt at the same request answered first

    # The backend's doing.
    CONNECT_FAILED = 14
    CONNECT_TIMEOUT = 15
    RESET = 16
    MALFORMED = 17
    RESPONSE_TIMEOUT = 18
    REQUEST_TIMEOUT = 19
    TRUNCATED = 20

    @property
    def label(self) -> str:
        """The name that metrics, logs and error bodies use, such as ``connect_failed``."""
        return self.name.lower()

    @property
    def blame(self) -> Blame:
        """Whose doing this outcome is."""
        if self in (Outcome.COMPLETE, Outcome.HEDGE_LOST):
            return Blame.NOBODY
        if self < Outcome.NO_BACKEND:
            return Blame.CLIENT
        return Blame.ROUTER if self < Outcome.CONNECT_FAILED else Blame.BACKEND


COMPLETE = int(Outcome.COMPLETE)
"""`Outcome.COMPLETE` as a plain int, for where every request passes."""

HEDGE_LOST = int(Outcome.HEDGE_LOST)
"""`Outcome.HEDGE_LOST`, likewise."""

FIRST_BACKEND_FAULT = int(Outcome.CONNECT_FAILED)
"""Outcomes from this one on are the backend's doing; a plain int for comparisons over arrays."""

TOO_MANY_REQUESTS = 429

SWITCHING_PROTOCOLS = 101
"""The status of a tunnel, whose record is written when it ends."""


def failed(outcome: int, status: int) -> bool:
    """Whether a request failed by its backend's doing: a broken exchange, a 5xx or a 429.

    A 429 counts because a backend that refuses quickly would otherwise look fast and draw more traffic.
    """
    return outcome >= FIRST_BACKEND_FAULT or (outcome == COMPLETE and (status >= 500 or status == TOO_MANY_REQUESTS))
