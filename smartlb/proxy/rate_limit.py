"""How many requests each client of a route may send.

A token bucket, kept as the time at which it will be full again, which is one number a client: the generic cell rate
algorithm (ITU-T I.371, annex A), as in nginx's limit_req, only without a queue. A client's bucket is a worker's own.
"""

from collections import OrderedDict

from smartlb.config.traffic import RateLimit as Settings
from smartlb.proxy.forwarding import Peer, hash64
from smartlb.proxy.http1 import HeaderBlock, header_value


class RateLimit:
    """The buckets of one route's clients in one worker.

    Args:
        settings: of the configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self._interval_s = 1.0 / settings.requests_per_s
        self._tolerance_s = (settings.burst - 1) * self._interval_s
        self._value = header_value(settings.header) if settings.header is not None else None
        self._most = settings.max_clients
        self._full_at_s: OrderedDict[int, float] = OrderedDict()

    def key(self, peer: Peer, target: bytes, block: HeaderBlock) -> int:
        """What tells the client of a request from others."""
        if self._value is not None and (value := self._value(block)):
            return hash64(value)
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
        full_at_s = max(buckets.get(key, now_s), now_s)
        wait_s = full_at_s - now_s - self._tolerance_s
        if wait_s > 1e-9:  # rounding, where a client comes exactly in time
            buckets.move_to_end(key)
            return wait_s
        buckets[key] = full_at_s + self._interval_s
        buckets.move_to_end(key)
        if len(buckets) > self._most:
            buckets.popitem(last=False)
        return 0.0
