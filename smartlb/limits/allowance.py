"""How often a peer may do what costs the router more than it costs the peer."""

from smartlb.limits.token_bucket import TokenBucket

BURST_S = 10.0
"""So many seconds' worth may come at once."""


class Allowance:
    """The bucket of one peer; compiled with the types of ``allowance.pxd``.

    Args:
        per_s: what may come each second in the long run.
    """

    def __init__(self, per_s: float) -> None:
        self._bucket = TokenBucket(per_s, per_s * BURST_S)
        self._full_at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed; monotonic time."""
        if self._bucket.wait_s(self._full_at_s, now_s) > 0.0:
            return False
        self._full_at_s = self._bucket.taken(self._full_at_s, now_s)
        return True
