"""Copies of requests: exchanges like any others, with their pool's policy, limits and timeouts, but for nobody."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from smartlb.core.outcome import Outcome
from smartlb.exchange.http import HttpExchange, new_exchange
from smartlb.ports.requester import Requester
from smartlb.ports.services import Services
from smartlb.stages.mirror import Copy
from smartlb.wire.http1 import HeaderBlock, without_headers
from smartlb.wire.pieces import request_head

log = logging.getLogger(__name__)

_REPLACED = frozenset((b"content-length", b"transfer-encoding", b"expect"))
"""Headers that do not hold for a request whose body is there."""


class _Nowhere:
    """Where the responses to copies go."""

    def write(self, data: bytes, /) -> None:
        pass

    def writelines(self, pieces: Iterable[bytes | memoryview], /) -> None:
        pass


_NOWHERE = _Nowhere()


class Shadow(Requester):
    """Stands in for the client of a copy.

    Args:
        shadows: that it belongs to.
        client: address of the original's client.
    """

    def __init__(self, shadows: "Shadows", client: str) -> None:
        super().__init__()
        self._shadows = shadows
        self._client = client
        self.deadline_s = float("inf")
        self.transport = _NOWHERE

    def client(self, block: HeaderBlock) -> str:  # noqa: ARG002
        """The IP address of the original's client."""
        return self._client

    def answer(self, outcome: Outcome, message: str, keep_alive: bool, body: bool) -> None:  # noqa: ARG002
        """The copy came to nothing; its record says so."""
        self._shadows.forget(self)

    def answer_with(self, head: bytes, body: bytes, keep_alive: bool) -> None:  # noqa: ARG002
        """Likewise."""
        self._shadows.forget(self)

    def exchange_over(self, keep_alive: bool, now_s: float) -> None:  # noqa: ARG002
        """The response has come, and is gone."""
        self._shadows.forget(self)

    def abort_exchange(self, at_once: bool) -> None:  # noqa: ARG002
        """Half of it has."""
        self._shadows.forget(self)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """Never: upgrades are not copied."""
        raise NotImplementedError


class Shadows:
    """The copies of one worker.

    Args:
        services: of the worker.

    Attributes:
        made: copies so far.
        dropped: copies not made because too many of their route were under way, so far.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way: dict[Shadow, HttpExchange] = {}
        self.made = self.dropped = 0

    def sender(self, most: int) -> Callable[[Copy], None]:
        """What sends the copies of one route, of which `most` may be under way."""
        own: set[Shadow] = set()

        def send(copy: Copy) -> None:
            own.intersection_update(self._under_way)
            if len(own) >= most:
                self.dropped += 1
                return
            shadow = Shadow(self, copy.context.peer.client(copy.context.block))
            own.add(shadow)
            self._send(shadow, copy)

        return send

    def _send(self, shadow: Shadow, copy: Copy) -> None:
        """Send a copy; whatever goes wrong, the original does not notice."""
        context, pool, body = copy.context, copy.pool, copy.body
        request, block = context.request, context.block
        now_s = self._services.clock.now()
        exchange = new_exchange(self._services, shadow, request, context.route, context.request_class, now_s)
        exchange.whole = True
        exchange.request_bytes = len(body)
        exchange.request_id = context.request_id
        self._under_way[shadow] = exchange
        self.made += 1
        try:
            exchange.key = pool.request_key(context.peer, request.target, block)
            outgoing = block.outgoing
            for edits in context.edits or ():
                outgoing = edits.apply(outgoing)
            exchange.has_body = bool(body)
            if len(body) != block.length:
                outgoing = b"\r\ncontent-length: %d" % len(body) + without_headers(outgoing, _REPLACED)
            head = request_head(request.method, context.target, outgoing, context.request_id)
            exchange.begin(pool, head, body, now_s)
        except Exception:
            log.exception("internal error while mirroring a request to pool %s", pool.name)
            self.forget(shadow)

    def forget(self, shadow: Shadow) -> None:
        """A copy is over."""
        self._under_way.pop(shadow, None)

    def sweep(self, now_s: float) -> None:
        """End copies that have taken too long."""
        for shadow, exchange in list(self._under_way.items()):
            # The end of one before may have ended this one, or let it have a backend.
            if shadow.deadline_s < now_s and shadow in self._under_way:
                exchange.timed_out(now_s)
