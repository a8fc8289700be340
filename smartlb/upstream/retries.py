"""When a request may be sent to another backend, and how many such requests may be under way at once.

The budget is Envoy's: retries under way may be a share of all requests under way, but always a few
(`retry_budget` in api/envoy/config/cluster/v3/circuit_breaker.proto, source/common/upstream/resource_manager_impl.h).
A fixed number of retries a request multiplies the load of a pool that fails under it; a share of it cannot.
"""

from collections.abc import Iterator

from smartlb.config.model import Retries as Settings
from smartlb.core.outcome import Outcome

NOTHING_SENT = frozenset((int(Outcome.CONNECT_FAILED), int(Outcome.CONNECT_TIMEOUT)))
"""Causes after which no backend can have acted on the request: any method may be tried again, and no budget is asked,
for no work is done twice."""


class Retries:
    """The retries of one pool in one worker.

    Attributes:
        causes: what may be followed by another attempt: each an `Outcome` or a status, which have no number in common.
        max_attempts: at one request, the first included.
        non_idempotent: whether any method may be repeated.
        active: retries under way, and hedges, which share the budget.
        begun: so far.
        refused: how many were not made because the budget was used up, so far.
    """

    __slots__ = (
        "_budget_min",
        "_budget_share",
        "active",
        "begun",
        "causes",
        "max_attempts",
        "non_idempotent",
        "refused",
    )

    def __init__(self, settings: Settings) -> None:
        self.causes = frozenset(cause for each in settings.retry_on for cause in _numbers(each))
        self.max_attempts = settings.max_attempts
        self.non_idempotent = settings.non_idempotent
        self._budget_share = settings.budget_share
        self._budget_min = settings.budget_min
        self.active = self.begun = self.refused = 0

    def affordable(self, under_way: int) -> bool:
        """Whether the budget has room for one more while `under_way` requests are; counts where it has not."""
        if self.has_budget(under_way):
            return True
        self.refused += 1
        return False

    def has_budget(self, under_way: int) -> bool:
        """Whether the budget has room for one more while `under_way` requests are."""
        return self.active < max(self._budget_min, self._budget_share * under_way)

    def begin(self) -> None:
        """Count a retry in."""
        self.active += 1
        self.begun += 1


def _numbers(cause: str) -> Iterator[int]:
    """The outcome or the statuses that an entry of `retries.retry_on` names."""
    if cause[0].isdigit():
        first, _, last = cause.partition("-")
        yield from range(int(first), int(last or first) + 1)
    else:
        yield int(Outcome[cause.upper()])
