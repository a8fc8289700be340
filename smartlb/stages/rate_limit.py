"""How many requests each client of a route may send.

As nginx's limit_req does it, only without a queue. All workers count together.
"""

from math import ceil

from smartlb.config.traffic import RateLimit as Settings
from smartlb.core.outcome import Outcome
from smartlb.limits.shared_buckets import SharedBuckets
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage
from smartlb.wire.answers import Answer, error_answer
from smartlb.wire.forwarding import Peer, hash64
from smartlb.wire.http1 import HeaderBlock, header_value


class RateLimit(Stage):
    """The buckets of one route's clients.

    Args:
        settings: of the configuration.
        memory: the route's table, shared by all workers: `Segment.rate_limit`.
    """

    def __init__(self, settings: Settings, memory: memoryview) -> None:
        self._buckets = SharedBuckets(memory, settings.requests_per_s, settings.burst)
        self._value = header_value(settings.header) if settings.header is not None else None

    def request(self, context: Context) -> Answer | None:
        """Refuse a request that comes too soon."""
        key = self.key(context.peer, context.request.target, context.block)
        wait_s = self.take(key, context.arrived_s)
        if wait_s <= 0.0:
            return None
        retry_after = b"retry-after: %d\r\n" % ceil(wait_s)
        return error_answer(Outcome.RATE_LIMITED, "more requests came than this client may send", retry_after)

    def key(self, peer: Peer, target: bytes, block: HeaderBlock) -> int:
        """What tells the client of a request from others."""
        if self._value is not None and (value := self._value(block)):
            return hash64(b"\0" + value)  # which is no address's, whatever the client says
        return peer.key("client_ip", target, block)

    def take(self, key: int, now_s: float) -> float:
        """Take a token from a client's bucket.

        Args:
            key: the client's.
            now_s: monotonic time, of the clock that all workers read.

        Returns:
            0 where there was one; otherwise the seconds until there is.
        """
        return self._buckets.take(key, now_s)
