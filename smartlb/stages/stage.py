"""What a stage is: one thing that a route does with its requests, besides handing them to a pool.

A stage overrides the methods of the moments that concern it, and pays for no other: see `smartlb.stages.plan`.
"""

from collections.abc import Awaitable
from typing import Protocol

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context, ResponseHead
from smartlb.wire.answers import Answer

Verdict = Answer | Awaitable[Answer | None] | None
"""Nothing, where the request goes on; an answer, where it ends here; or what is to be awaited for one of the two."""


class BodyFilter(Protocol):
    """Sees a body pass, piece by piece, and may change it.

    Attributes:
        changes: whether what goes in may differ from what comes out; where no filter changes anything, the
            message keeps its length.
    """

    changes: bool

    def feed(self, data: bytes) -> bytes:
        """What to send after this piece; nothing where it is held back."""

    def end(self) -> bytes:
        """What to send at the end of the body."""


class Stage:
    """A stage that does nothing.

    Attributes:
        whole_body: how many bytes of a body the stage can take, where it needs all of it before `request` is called;
            0 where it needs none. A longer one is refused with 413.
        timeout_s: how long what `request` gives to wait for may take; then the request is refused with 504.
    """

    whole_body: int = 0
    timeout_s: float = 10.0

    def request(self, context: Context) -> Verdict:
        """The head of a request is here, with its body where `whole_body` asks for it.

        What the stage changes in the context is what is sent: the target, the headers, the body, the pool.
        """

    def request_body(self, context: Context) -> BodyFilter | None:
        """What the request's body passes through on its way to the backend."""

    def response(self, context: Context, head: ResponseHead) -> BodyFilter | None:
        """The head of the response is here, and may be changed; returns what its body passes through."""

    def done(self, context: Context, outcome: Outcome, status: int) -> None:
        """The exchange is over; `status` is what the client got, 0 for none."""
