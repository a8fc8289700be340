# cython: annotation_typing=False
"""The way of one request through the stages of its route, and of its response back."""

from typing import Final

from smartlb.core.outcome import Outcome
from smartlb.exchange.body import FilteredBody
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.plan import RoutePlan
from smartlb.stages.stage import BodyFilter, Verdict
from smartlb.wire.answers import error_answer
from smartlb.wire.http1 import CHUNKED, without_headers
from smartlb.wire.pieces import request_head

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))


class Pipeline:
    """One request among the stages of its route.

    Args:
        plan: of the route.
        context: what stages know and may change.
        body: what has come of the request's body: its content where `RoutePlan.reads_body`, as it came otherwise.

    Attributes:
        context: the argument.
        needs_body: whether the stage that is next waits for all of the body.
        timeout_s: how long what the last stage has given to wait for may take.
        body: what the request's body passes through, once `outgoing` is over; None where it goes as it comes.
    """

    def __init__(self, plan: RoutePlan, context: Context, body: bytes) -> None:
        self._plan = plan
        self.context = context
        self._held = bytearray(body)
        self._next = 0
        self.needs_body = False
        self.timeout_s = 0.0
        self.body: FilteredBody | None = None

    def hold(self, piece: bytes) -> None:
        """Keep a piece of the body until it is known what becomes of the request."""
        self._held += piece

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
        context = self.context
        self.needs_body = False
        while self._next < len(self._plan.request):
            stage = self._plan.request[self._next]
            if stage.whole_body and context.body is None:
                most = stage.whole_body
                if len(self._held) > most or context.block.length > most:
                    return error_answer(Outcome.BODY_TOO_LARGE, f"the body is longer than {most} bytes")
                if not whole:
                    self.needs_body = True
                    return None
                context.body = bytes(self._held)
            self._next += 1
            verdict = stage.request(context)
            if verdict is not None:
                self.timeout_s = stage.timeout_s
                return verdict
        return None

    def outgoing(self) -> tuple[bytes, bytes]:
        """The head of the request as it is sent, and what has come of its body, not filtered yet."""
        plan, context = self._plan, self.context
        block = context.block
        lines = block.outgoing
        for edits in context.edits or ():
            lines = edits.apply(lines)
        filters = [found for each in plan.request_bodies if (found := each(context)) is not None]
        changes = _changes(filters)
        body = bytes(self._held) if context.body is None else context.body
        in_chunks = changes or (block.length == CHUNKED and plan.reads_body and context.body is None)
        if in_chunks and block.length:
            lines = b"\r\ntransfer-encoding: chunked" + without_headers(lines, _FRAMING)
        elif context.body is not None and (block.length or body):
            lines = b"\r\ncontent-length: %d" % len(body) + without_headers(lines, _FRAMING)
        if filters or in_chunks:
            self.body = FilteredBody(filters, in_chunks and block.length != 0)
        return request_head(context.request.method, context.target, lines, context.request_id), body

    def responds(self, head: ResponseHead, http10: bool) -> FilteredBody | None:
        """Have the stages look at the head of the response, which they may change.

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
        if head.length != CHUNKED and not _changes(filters):
            return FilteredBody(filters, False)
        head.frame_in_chunks()
        return FilteredBody(filters, not http10)

    def done(self, outcome: int, status: int) -> None:
        """Tell the stages that the exchange is over; `status` is what the client got, 0 for none."""
        for each in self._plan.done:
            each(self.context, Outcome(outcome), status)


def _changes(filters: list[BodyFilter]) -> bool:
    """Whether what comes out of them may differ from what goes in."""
    return any(each.changes for each in filters)
