"""How often something may happen.

A token bucket, kept as the time at which it will be full again, which is one number a bucket: the generic cell rate
algorithm (ITU-T I.371, annex A).
"""

_ROUNDING_S = 1e-9


class TokenBucket:
    """The rate and the size of any number of buckets.

    Args:
        per_s: tokens that each gets a second.
        burst: tokens that it holds.
    """

    __slots__ = ("_interval_s", "_tolerance_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._interval_s = 1.0 / per_s
        self._tolerance_s = (burst - 1) * self._interval_s

    def take(self, full_at_s: float, now_s: float) -> tuple[float, float]:
        """Take a token from one of them.

        Args:
            full_at_s: when it is full, or was; monotonic, as `now_s`.
            now_s: the time.

        Returns:
            When it is full again; and 0 where there was a token, otherwise the seconds until there is.
        """
        full_at_s = max(full_at_s, now_s)
        wait_s = full_at_s - now_s - self._tolerance_s
        if wait_s > _ROUNDING_S:  # for whoever comes exactly in time
            return full_at_s, wait_s
        return full_at_s + self._interval_s, 0.0
