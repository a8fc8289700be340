"""The answers that the router gives itself: one status and one sentence per cause, as a short JSON body."""

import json
from typing import NamedTuple

from smartlb.core.outcome import Outcome

ROUTER_FAILED = "the router failed; its log has the details"
"""What there is to say of `Outcome.INTERNAL`."""


class Answer(NamedTuple):
    """A response that the router makes itself, in a stage.

    Attributes:
        status: of the response.
        head: from the status line on, each line with its CRLF, without the last empty line.
        body: what follows.
        outcome: what the record says.
    """

    status: int
    head: bytes
    body: bytes = b""
    outcome: Outcome = Outcome.COMPLETE


_STATUS: dict[Outcome, tuple[int, str]] = {
    Outcome.BAD_REQUEST: (400, "Bad Request"),
    Outcome.NO_ROUTE: (404, "Not Found"),
    Outcome.CLIENT_TIMEOUT: (408, "Request Timeout"),
    Outcome.BODY_TOO_LARGE: (413, "Content Too Large"),
    Outcome.RATE_LIMITED: (429, "Too Many Requests"),
    Outcome.HEADER_TOO_LARGE: (431, "Request Header Fields Too Large"),
    Outcome.INTERNAL: (500, "Internal Server Error"),
    Outcome.METHOD_REFUSED: (501, "Not Implemented"),
    Outcome.CONNECT_FAILED: (502, "Bad Gateway"),
    Outcome.RESET: (502, "Bad Gateway"),
    Outcome.MALFORMED: (502, "Bad Gateway"),
    Outcome.NO_BACKEND: (503, "Service Unavailable"),
    Outcome.QUEUE_FULL: (503, "Service Unavailable"),
    Outcome.QUEUE_TIMEOUT: (503, "Service Unavailable"),
    Outcome.CONNECT_TIMEOUT: (504, "Gateway Timeout"),
    Outcome.RESPONSE_TIMEOUT: (504, "Gateway Timeout"),
    Outcome.REQUEST_TIMEOUT: (504, "Gateway Timeout"),
}


def status_of(outcome: Outcome) -> int:
    """The status that a client gets for an outcome of the router's own; KeyError for others."""
    return _STATUS[outcome][0]


def error_answer(outcome: Outcome, message: str, headers: bytes = b"") -> Answer:
    """An answer that says what happened.

    Args:
        outcome: the cause; it decides the status.
        message: one sentence for a person.
        headers: further lines, each with its CRLF.
    """
    status, reason = _STATUS[outcome]
    content = json.dumps({"error": outcome.label, "status": status, "message": message}).encode() + b"\n"
    head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s" % (
        status,
        reason.encode(),
        len(content),
        headers,
    )
    return Answer(status, head, content, outcome)


def error_response(outcome: Outcome, message: str, *, keep_alive: bool, body: bool = True) -> bytes:
    """A whole response that says what happened.

    Args:
        outcome, message: as for `error_answer`.
        keep_alive: False adds ``connection: close``.
        body: False for the answer to a HEAD request.
    """
    answer = error_answer(outcome, message)
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return answer.head + end + (answer.body if body else b"")
