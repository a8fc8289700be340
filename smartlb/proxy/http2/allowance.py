"""How often a peer may do what costs the router more than it costs the peer."""

BURST_S = 10.0
"""So many seconds' worth may come at once."""


class Allowance:
    """A token bucket.

    Args:
        per_s: what may come each second in the long run.
    """

    __slots__ = ("_left", "_most", "_per_s", "_since_s")

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = self._most = per_s * BURST_S
        self._since_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed; monotonic time."""
        self._left = min(self._most, self._left + (now_s - self._since_s) * self._per_s)
        self._since_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
