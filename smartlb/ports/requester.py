# cython: annotation_typing=False
"""What an exchange needs of the one that it is for."""

import asyncio
from typing import Any

from smartlb.core.outcome import Outcome
from smartlb.wire.http1 import HeaderBlock
from smartlb.wire.proxy_protocol import Endpoints


class Requester:
    """A client's connection, or what stands in for one.

    Attributes:
        deadline_s: when the exchange's `timed_out` is to be called; monotonic.
        write_paused: whether the response comes faster than it is taken.
        transport: where the response goes; it has `write` and `writelines`.
    """

    def __init__(self) -> None:
        self.deadline_s = 0.0
        self.write_paused = False
        self.transport: Any = None

    @property
    def address(self) -> str:
        """The client's IP address."""
        raise NotImplementedError

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header; None where there is none."""
        return None

    def client(self, block: HeaderBlock) -> str:
        """The IP address that a request comes from: the client's, or that which a trusted proxy speaks for."""
        raise NotImplementedError

    def adjust_reading(self) -> None:
        """Read from the client only what there is a use for now."""

    def expect_body(self, now_s: float) -> None:
        """More of the request's body has to come in time."""

    def answer(self, outcome: Outcome, message: str, keep_alive: bool, body: bool) -> None:
        """Answer with an error of the router itself."""
        raise NotImplementedError

    def answer_with(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        """Answer with a response that a stage has made; `head` is without its last empty line."""
        raise NotImplementedError

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Let another protocol have the connection; returns what the client has sent after its request."""
        raise NotImplementedError

    def tunnel_over(self, exc: Exception | None) -> None:
        """The connection that was handed over is gone."""
        raise NotImplementedError

    def exchange_over(self, keep_alive: bool, now_s: float) -> None:
        """The response has been written whole."""
        raise NotImplementedError

    def abort_exchange(self, at_once: bool) -> None:
        """The response broke off.

        Args:
            at_once: whether the client must be told by a reset.
        """
        raise NotImplementedError
