# cython: annotation_typing=False
"""What the stages of a route know of one request, and may change."""

from typing import Any

from smartlb.wire.forwarding import Peer
from smartlb.wire.http1 import CHUNKED, HeaderBlock, Request, without_headers


class Context:
    """One request on a route with stages; `new_context` makes one.

    Attributes:
        request: as it came.
        peer: who it came from.
        route: number of the route.
        request_class: number of the request's class.
        arrived_s: monotonic time.
        pool: where it goes; None until a stage chooses, or answers, where the route names none.
        target: as it is sent.
        edits: changes to the headers that are sent, applied in order to the lines of the head; see
            `smartlb.stages.headers.HeaderEdits`.
        body: all of it, where a stage has asked for that; None otherwise. A stage may put another in its place.
        request_id: as forwarded.
        state: what stages keep from one moment of the request to the next, by a name of theirs.
    """

    # What is not set at the beginning is 0, False or None then, as in every object of C.
    request: Request
    peer: Peer
    route: int
    request_class: int
    arrived_s: float
    pool: Any
    target: bytes
    edits: list[Any] | None
    body: bytes | None
    request_id: bytes
    _state: dict[str, Any] | None

    @property
    def method(self) -> bytes:
        """Of the request."""
        return self.request.method

    @property
    def block(self) -> HeaderBlock:
        """The request's headers."""
        return self.request.block

    @property
    def state(self) -> dict[str, Any]:
        """What stages keep."""
        if self._state is None:
            self._state = {}
        return self._state

    def edit(self, edits: Any) -> None:
        """Change the headers that are sent."""
        if self.edits is None:
            self.edits = []
        self.edits.append(edits)


def new_context(request: Request, peer: Peer, route: int, request_class: int, arrived_s: float, pool: Any) -> Context:
    """Make what stages know of a request; the arguments are the attributes of the same names."""
    context = Context.__new__(Context)
    context.request = request
    context.peer = peer
    context.route = route
    context.request_class = request_class
    context.arrived_s = arrived_s
    context.pool = pool
    context.target = request.target
    context.request_id = b""
    return context


class ResponseHead:
    """The head of a response, which stages may change; `new_response_head` makes one.

    Attributes:
        raw: from the status line to the last header line, each with its CRLF.
        status: of the response.
        length: of its body in bytes; negative where it is not known.
    """

    raw: bytes
    status: int
    length: int

    def frame_in_chunks(self) -> None:
        """The body that is sent is not the one that came: nobody knows how long it will be."""
        self.length = CHUNKED
        self.raw = (
            without_headers(self.raw, {b"content-length", b"transfer-encoding"}) + b"transfer-encoding: chunked\r\n"
        )


def new_response_head(raw: bytes, status: int, length: int) -> ResponseHead:
    """Make one; the arguments are the attributes of the same names."""
    head = ResponseHead.__new__(ResponseHead)
    head.raw = raw
    head.status = status
    head.length = length
    return head
