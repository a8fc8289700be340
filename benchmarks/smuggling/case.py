"""A case of the corpus: the bytes that a client sends, and what the RFCs let a server do with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

PROBE_TARGET: Final = b"/probe"
PROBE: Final = b"GET /probe HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n"
"""The request that follows the bytes of a case. Where they are taken for less than they are, the rest comes before it;
where they are taken for more, it is swallowed."""

NO_ANSWER: Final = 0
"""Among the statuses of a refusal: the connection may be closed without a word."""


class After(StrEnum):
    """What becomes of the connection once the requests of a case are served."""

    STAYS = "stays"  # the probe is served as well
    CLOSES = "closes"  # it is not
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Want:
    """A request that a backend must see.

    Attributes:
        method, target, body: exactly these; the body with its framing taken off.
        fields: headers by lower-case name, repeated ones joined by ``, ``; None for those that must not be there.
    """

    method: bytes
    target: bytes
    body: bytes = b""
    fields: Mapping[bytes, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Serve:
    """An outcome: the bytes are these requests.

    Attributes:
        requests: in order, the probe left out.
        after: what becomes of the connection.
    """

    requests: tuple[Want, ...]
    after: After = After.STAYS


@dataclass(frozen=True, slots=True)
class Refuse:
    """An outcome: an error is the last answer, and the connection is closed.

    Attributes:
        statuses: of the error; `NO_ANSWER` among them allows none.
        served: the requests before the one that is refused.
    """

    statuses: frozenset[int]
    served: tuple[Want, ...] = ()


Outcome = Serve | Refuse


@dataclass(frozen=True, slots=True)
class Case:
    """One connection's worth of bytes.

    Attributes:
        name: unique in its group.
        sent: what the client sends before the probe.
        rule: what the RFCs demand, with the section.
        allowed: the outcomes that meet the rule.
        cut: whether the client ends its side after `sent`, instead of going on with the probe.
        may_be_declined: whether a backend may answer it with an error of its own, as it is valid but odd.
    """

    name: str
    sent: bytes
    rule: str
    allowed: tuple[Outcome, ...]
    cut: bool = False
    may_be_declined: bool = False


BAD: Final = Refuse(frozenset({400}))
"""Answered with 400, then closed."""

UNFINISHED: Final = Refuse(frozenset({NO_ANSWER, 400, 408}))
"""Never complete: closed, with 400 or 408 or without an answer (RFC 9112 section 8)."""


def refuse(*statuses: int) -> Refuse:
    """Answered with one of `statuses`, then closed."""
    return Refuse(frozenset(statuses))


def serve(*requests: Want, after: After = After.STAYS) -> Serve:
    """Taken for `requests`."""
    return Serve(requests, after)


def lines(*parts: bytes) -> bytes:
    """Join `parts` by CRLF; a head ends with two empty parts, or with one and the body."""
    return b"\r\n".join(parts)
