"""How often something may happen.

A token bucket, kept as the time at which it will be full again, which is one number a bucket: the generic cell rate
algorithm (ITU-T I.371, annex A).
"""

_ROUNDING_S = 1e-9


class TokenBucket:
    """The rate and the size of any number of buckets; compiled with the types of ``token_bucket.pxd``.

    Whoever has buckets keeps for each the time at which it is full, or was, and asks `wait_s` first: only where that
    is 0 is there a token to take.

    Args:
        per_s: tokens that each gets a second.
        burst: tokens that it holds.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._interval_s = 1.0 / per_s
        self._tolerance_s = (burst - 1.0) * self._interval_s

    def wait_s(self, full_at_s: float, now_s: float) -> float:
        """The seconds until a bucket has a token; 0 where it has one.

        Args:
            full_at_s: when it is full, or was; monotonic, as `now_s`.
            now_s: the time.
        """
        wait_s = full_at_s - now_s - self._tolerance_s
        return wait_s if wait_s > _ROUNDING_S else 0.0  # for whoever comes exactly in time

    def taken(self, full_at_s: float, now_s: float) -> float:
        """When a bucket is full again once a token is taken from it; arguments as for `wait_s`."""
        return (full_at_s if full_at_s > now_s else now_s) + self._interval_s
