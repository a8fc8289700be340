"""How many requests each client of a route may send.

As nginx's limit_req does it, only without a queue. A client's bucket is a worker's own.
"""

from collections import OrderedDict
from math import ceil

from smartlb.config.traffic import RateLimit as Settings
from smartlb.core.outcome import Outcome
from smartlb.limits.token_bucket import TokenBucket
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage
from smartlb.wire.answers import Answer, error_answer
from smartlb.wire.forwarding import Peer, hash64
from smartlb.wire.http1 import HeaderBlock, header_value


class RateLimit(Stage):
    """The buckets of one route's clients in one worker.

    Args:
        settings: of the configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self._bucket = TokenBucket(settings.requests_per_s, settings.burst)
        self._value = header_value(settings.header) if settings.header is not None else None
        self._most = settings.max_clients
        self._full_at_s: OrderedDict[int, float] = OrderedDict()

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
            now_s: monotonic time.

        Returns:
            0 where there was one; otherwise the seconds until there is.
        """
        buckets = self._full_at_s
        buckets[key], wait_s = self._bucket.take(buckets.get(key, now_s), now_s)
        buckets.move_to_end(key)
        if len(buckets) > self._most:
            buckets.popitem(last=False)
        return wait_s
