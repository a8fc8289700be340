"""How often a peer may do what costs the router more than it costs the peer."""

from smartlb.limits.token_bucket import TokenBucket

BURST_S = 10.0
"""So many seconds' worth may come at once."""


class Allowance:
    """The bucket of one peer.

    Args:
        per_s: what may come each second in the long run.
    """

    __slots__ = ("_bucket", "_full_at_s")

    def __init__(self, per_s: float) -> None:
        self._bucket = TokenBucket(per_s, per_s * BURST_S)
        self._full_at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed; monotonic time."""
        self._full_at_s, wait_s = self._bucket.take(self._full_at_s, now_s)
        return wait_s == 0.0
