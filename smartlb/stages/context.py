# cython: annotation_typing=False
"""What the stages of a route know of one request, and may change."""

from typing import Any

from smartlb.wire.forwarding import Peer
from smartlb.wire.http1 import CHUNKED, HeaderBlock, Request, without_headers


class Context:
    """One request on a route with stages.

    Args:
        request: as it came.
        peer: who it came from.
        route: number of the route.
        request_class: number of the request's class.
        arrived_s: monotonic time.
        pool: that the route names; None where a stage chooses or answers.

    Attributes:
        request, peer, route, request_class, arrived_s: the arguments.
        pool: where it goes.
        target: as it is sent.
        edits: changes to the headers that are sent, applied in order to the lines of the head; see
            `smartlb.stages.headers.HeaderEdits`.
        body: all of it, where a stage has asked for that; None otherwise. A stage may put another in its place.
        request_id: as forwarded.
        state: what stages keep from one moment of the request to the next, by a name of theirs.
    """

    def __init__(
        self, request: Request, peer: Peer, route: int, request_class: int, arrived_s: float, pool: Any
    ) -> None:
        self.request = request
        self.peer = peer
        self.route = route
        self.request_class = request_class
        self.arrived_s = arrived_s
        self.pool = pool
        self.target = request.target
        self.edits: list[Any] | None = None
        self.body: bytes | None = None
        self.request_id = b""
        self._state: dict[str, Any] | None = None

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


class ResponseHead:
    """The head of a response, which stages may change.

    Args:
        raw: from the status line to the last header line, each with its CRLF.
        status: of the response.
        length: of its body in bytes; negative where it is not known.

    Attributes:
        raw, status, length: the arguments.
    """

    def __init__(self, raw: bytes, status: int, length: int) -> None:
        self.raw = raw
        self.status = status
        self.length = length

    def frame_in_chunks(self) -> None:
        """The body that is sent is not the one that came: nobody knows how long it will be."""
        self.length = CHUNKED
        self.raw = (
            without_headers(self.raw, {b"content-length", b"transfer-encoding"}) + b"transfer-encoding: chunked\r\n"
        )
