"""Keeps an error in one item of a duty from ending the duty."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf
from time import monotonic
from types import TracebackType

log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0
"""Between two log entries about one duty, which may be done many times a second."""


class Guard:
    """Stands around an item, such as one health check or one client's timeout, for as long as that takes.

    An exception that nobody foresaw is logged with its traceback and counted, and what comes after the item goes on.
    What is foreseen is to be dealt with in its place.

    Args:
        clock: monotonic; for how often is logged.

    Attributes:
        errors: so far, by duty.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.errors: Counter[str] = Counter()
        self._clock = clock
        self._complain_at_s: dict[str, float] = {}

    def __call__(self, duty: str) -> AbstractContextManager[None, bool]:
        """Guard one item.

        Args:
            duty: what is done, in a few words that are always the same.
        """
        return _Item(self, duty)

    def note(self, duty: str, error: Exception) -> None:
        """Log and count an error."""
        self.errors[duty] += 1
        now_s = self._clock()
        if now_s >= self._complain_at_s.get(duty, -inf):
            self._complain_at_s[duty] = now_s + _COMPLAIN_EVERY_S
            so_far = self.errors[duty]
            log.error("internal error in %s, the rest goes on (%d so far)", duty, so_far, exc_info=error)


class _Item:
    __slots__ = ("_duty", "_guard")

    def __init__(self, guard: Guard, duty: str) -> None:
        self._guard = guard
        self._duty = duty

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._guard.note(self._duty, error)
        return True
