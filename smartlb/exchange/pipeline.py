# cython: annotation_typing=False
"""The way of one request through the stages of its route, and of its response back."""

import logging
from typing import Final

from smartlb.core.outcome import Outcome
from smartlb.exchange.body import FilteredBody, changes
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.plan import RoutePlan
from smartlb.stages.stage import BodyFilter, Verdict
from smartlb.wire.answers import error_answer
from smartlb.wire.http1 import CHUNKED, without_headers
from smartlb.wire.pieces import request_head

log = logging.getLogger(__name__)

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
_EXPECT: Final = frozenset((b"expect",))
_BODILESS: Final = frozenset((204, 304))
"""Statuses of responses that end with their head (RFC 9112 section 6.3)."""


class Pipeline:
    """One request among the stages of its route; `new_pipeline` makes one.

    Attributes:
        context: what stages know and may change.
        sees_response: whether any stage looks at the response.
        needs_body: whether the stage that is next waits for all of the body.
        has_body: whether the request is sent with a body, once `outgoing` is over.
        timeout_s: how long what the last stage has given to wait for may take.
        body: what the request's body passes through, once `outgoing` is over; None where it goes as it comes.
    """

    # What is not set at the beginning is 0, False or None then, as in every object of C.
    context: Context
    sees_response: bool
    needs_body: bool
    has_body: bool
    timeout_s: float
    body: FilteredBody | None
    _plan: RoutePlan
    _body: bytes  # that came with the head
    _more: bytearray | None  # that came after it
    _next: int
    _whole: bool

    def hold(self, piece: bytes) -> None:
        """Keep a piece of the body until it is known what becomes of the request."""
        if self._more is None:
            self._more = bytearray()
        self._more += piece

    def _size(self) -> int:
        return len(self._body) if self._more is None else len(self._body) + len(self._more)

    def _content(self) -> bytes:
        return self._body if self._more is None else self._body + self._more

    def proceed(self, whole: bool) -> Verdict:
        """Ask the stages that have not been asked yet.

        Args:
            whole: whether all of the body is here.

        Returns:
            The answer of a stage, what one wants to be awaited before this is called again, or nothing. Where nothing,
            `needs_body` says whether a stage waits for the body; otherwise all have had their say.

        Raises:
            RequestRefused: by a stage.
        """
        context, looks = self.context, self._plan.looks
        self._whole = whole
        self.needs_body = False
        while self._next < len(looks):
            look = looks[self._next]
            most = look.whole_body
            if most:
                size = max(self._size(), context.request.block.length) if context.body is None else len(context.body)
                if size > most:
                    return error_answer(Outcome.BODY_TOO_LARGE, f"the body is longer than {most} bytes")
                if not whole:
                    self.needs_body = True
                    return None
                if context.body is None:
                    context.body = self._content()
            self._next += 1
            verdict = look.request(context)
            if verdict is not None:
                self.timeout_s = look.timeout_s
                return verdict
        return None

    def outgoing(self) -> tuple[bytes, bytes]:
        """The head of the request as it is sent, and what has come of its body, not filtered yet."""
        plan, context = self._plan, self.context
        request, block = context.request, context.request.block
        lines = block.outgoing
        if context.edits is not None:
            for edits in context.edits:
                lines = edits.apply(lines)
        whole = context.body is not None
        if whole and not self._whole:
            raise RuntimeError("a stage has replaced a body that it has not asked for: see Stage.whole_body")
        body = self._content() if context.body is None else context.body
        self.has_body = block.length != 0 or len(body) > 0
        if plan.request_bodies:
            filters = [found for each in plan.request_bodies if (found := each(context)) is not None]
            if not self.has_body:
                filters = _without_changes(filters)
        else:
            filters = []
        in_chunks = False
        if self.has_body:
            in_chunks = changes(filters) or (block.length == CHUNKED and plan.reads_body and not whole)
            if in_chunks:
                lines = b"\r\ntransfer-encoding: chunked" + without_headers(lines, _FRAMING)
            elif whole:
                lines = b"\r\ncontent-length: %d" % len(body) + without_headers(lines, _FRAMING)
        if whole and block.expects:
            lines = without_headers(lines, _EXPECT)  # what the client waited for, it has had from the router
        if filters or in_chunks:
            self.body = FilteredBody(filters, in_chunks)
        return request_head(request.method, context.target, lines, context.request_id), body

    def responds(self, head: ResponseHead, http10: bool) -> FilteredBody | None:
        """Have the stages look at the head of the response, which they may change.

        A response that has no body is not framed for one, whatever its filters would make of nothing.

        Args:
            head: of the response.
            http10: whether the client speaks HTTP/1.0, which knows no chunks.

        Returns:
            What the response's body passes through; None where it goes as it comes.
        """
        context = self.context
        filters = [found for each in self._plan.responses if (found := each(context, head)) is not None]
        if not filters:
            return None
        if context.request.method == b"HEAD" or head.status < 200 or head.status in _BODILESS:
            if changes(filters) and head.status >= 200:
                head.raw = without_headers(head.raw, _FRAMING)  # which is not that of what a GET would get
            filters = _without_changes(filters)
            return FilteredBody(filters, False) if filters else None
        if head.length != CHUNKED and not changes(filters):
            return FilteredBody(filters, False)
        head.frame_in_chunks()
        return FilteredBody(filters, not http10)

    def done(self, outcome: int, status: int) -> None:
        """Tell the stages that the exchange is over; `status` is what the client got, 0 for none."""
        for each in self._plan.done:
            try:
                each(self.context, Outcome(outcome), status)
            except Exception:
                log.exception("internal error in a stage, after the exchange for %r", self.context.request.target)


def new_pipeline(plan: RoutePlan, context: Context, body: bytes) -> Pipeline:
    """Begin the way of a request through the stages of its route.

    Args:
        plan: of the route.
        context: what stages know and may change.
        body: what has come of the request's body: its content where `RoutePlan.reads_body`, as it came otherwise.
    """
    pipeline = Pipeline.__new__(Pipeline)
    pipeline._plan = plan
    pipeline.context = context
    pipeline._body = body
    pipeline.sees_response = bool(plan.responses)
    return pipeline


def _without_changes(filters: list[BodyFilter]) -> list[BodyFilter]:
    """Those that hear of the end of a body that is not there; the others could only make one of nothing."""
    return [each for each in filters if not each.changes]
