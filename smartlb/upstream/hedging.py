"""Hedged requests: a second attempt at another backend once the first takes longer than nearly all do.

J. Dean, L. A. Barroso: The Tail at Scale, CACM 56 (2), 2013, "hedged requests"; gRPC's proposal A6 has the same as its
hedging policy. What "nearly all" take is measured here, as a quantile of the time to the response's first byte over
what the learned model predicted for that backend, class and load; under other policies, of that time itself.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from smartlb.config.model import Hedging as Settings
from smartlb.core.view import PoolView

_LATEST: Final = 1_000
"""How many requests the quantile is taken of."""

_FEWEST: Final = 100
"""With fewer, a quantile such as 0.95 would be a guess; nothing is hedged yet."""

_RENEWED_AFTER: Final = 50
"""Requests after which the quantile is computed anew, which takes a sort."""


class Hedging:
    """The hedges of one pool in one worker.

    Args:
        settings: of the configuration.
        loop: has the timers.

    Attributes:
        active: requests with two attempts under way.
        sent: hedges so far.
        won: how many of them answered first.
        refused: how many were not sent because a budget was used up.
    """

    __slots__ = (
        "_latest",
        "_loop",
        "_measured",
        "_min_delay_s",
        "_most",
        "_predicting",
        "_quantile",
        "_ratio",
        "active",
        "refused",
        "sent",
        "won",
    )

    def __init__(self, settings: Settings, loop: AbstractEventLoop) -> None:
        self._quantile = settings.quantile
        self._min_delay_s = settings.min_delay_s
        self._most = settings.max_in_flight
        self._loop = loop
        self._latest: deque[float] = deque(maxlen=_LATEST)
        self._measured = 0
        self._predicting = False
        self._ratio = inf
        self.active = self.sent = self.won = self.refused = 0

    def expected_s(self, view: PoolView, predicting: bool, request_class: int, position: int, in_flight: int) -> float:
        """What later times to the first byte are measured in: the predicted time, or 1 s where nothing is predicted.

        Args:
            view: of the pool.
            predicting: whether it has a snapshot of the learner.
            request_class: of the request.
            position: of its backend.
            in_flight: requests that the backend had before.
        """
        if predicting is not self._predicting:
            # Ratios to a prediction and plain times have nothing in common.
            self._predicting = predicting
            self._latest.clear()
            self._measured = 0
            self._ratio = inf
        if not predicting:
            return 1.0
        at = request_class * len(view.weight) + position
        predicted_s = view.base_s[at] + view.slope_s[at] * in_flight
        return predicted_s if 0.0 < predicted_s < inf else 0.0

    def watch(self, hedge: Callable[[], None], expected_s: float) -> TimerHandle | None:
        """Hedge a request that was just sent, when it takes too long; None while nobody knows what that is."""
        if self._ratio == inf:
            return None
        return self._loop.call_later(max(self._ratio * expected_s, self._min_delay_s), hedge)

    def measured(self, ratio: float) -> None:
        """Take in how long a request took, in what `expected_s` gave.

        Of an attempt that lost against its hedge this is only known to be a lower bound. As that lies beyond the
        quantile in any case, it moves the quantile as the true value would.
        """
        latest = self._latest
        latest.append(ratio)
        self._measured += 1
        if self._measured % _RENEWED_AFTER == 0 and len(latest) >= _FEWEST:
            self._ratio = sorted(latest)[int(self._quantile * len(latest))]

    def affordable(self, allowed: bool) -> bool:
        """Whether there may be one more; counts where not.

        Args:
            allowed: by the budget of the pool's retries.
        """
        if allowed and self.active < self._most:
            return True
        self.refused += 1
        return False
