"""Slow start: a backend that has just become eligible gets a share of requests that grows, whatever the policy.

After Envoy's slow start mode with aggression 1 and its `min_weight_percent` of 10,
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start. Envoy multiplies
weights, which only policies that go by weight heed: one that looks for the least loaded backend would give a new and
idle one all that comes. So here the share is rationed: each request to the pool earns a backend the part of it that is
fair by the weights so multiplied, and what the policy wants to send there beyond what was earned goes elsewhere.
"""

from collections.abc import Iterable, Sequence

LEAST = 0.1
"""Part of its weight that a backend begins with."""

_MOST_SAVED = 8.0
"""Requests that a backend may have earned and not got, or got and not earned: a policy that comes to it by chance
should not lose them, one that comes to it all at once should not find many."""


class SlowStart:
    """The ration of the backends of one pool in one worker.

    Args:
        duration_s: until a backend has its whole share; 0 has no slow start.
        weight: configured weights, by which shares are fair.
    """

    def __init__(self, duration_s: float, weight: Sequence[float]) -> None:
        self._duration_s = duration_s
        self._weight = weight
        self._since_s: dict[int, float] = {}
        self._saved: dict[int, float] = {}

    def __bool__(self) -> bool:
        """Whether any backend is starting."""
        return bool(self._since_s)

    def reweigh(self, weight: Sequence[float]) -> None:
        """The pool has other backends, or other weights."""
        self._weight = weight

    def begin(self, positions: Iterable[int], now_s: float) -> None:
        """Start these backends, anew if need be."""
        if self._duration_s > 0.0:
            for position in positions:
                self._since_s[position] = now_s
                self._saved[position] = 0.0

    def earn(self, eligible: Iterable[int], now_s: float) -> None:
        """Count a request to the pool; backends whose time is over start no more."""
        starting = {}
        for position, since_s in list(self._since_s.items()):
            passed = (now_s - since_s) / self._duration_s
            if passed >= 1.0:
                del self._since_s[position], self._saved[position]
            else:
                starting[position] = self._weight[position] * max(LEAST, passed)
        if starting:
            total = sum(starting.get(position, self._weight[position]) for position in eligible)
            for position, weight in starting.items():
                self._saved[position] = min(_MOST_SAVED, self._saved[position] + weight / total)

    def spend(self, position: int, *, regardless: bool = False) -> bool:
        """Whether a backend may have a request that was picked for it; False where it has not earned it.

        Args:
            position: of the backend.
            regardless: it gets the request anyway, as there is no other.
        """
        saved = self._saved.get(position)
        if saved is None:
            return True
        if saved < 1.0 and not regardless:
            return False
        self._saved[position] = max(-_MOST_SAVED, saved - 1.0)
        return True
