"""Forgetting that suits any model: the elder predicts, both learn, and the younger takes over turn by turn.

A claim rests on what came in during the last one to two turns, so that it is dropped, not kept for ever, when
nothing new supports it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from smartlb.learning.cells import Matrix

M = TypeVar("M")


@dataclass(slots=True)
class Generation(Generic[M]):
    """A model and what it has seen.

    Attributes:
        model: the model.
        evidence: ``[classes]``; how many requests it has learned from.
    """

    model: M
    evidence: Matrix


class Generations(Generic[M]):
    """Two generations of a model.

    Args:
        make: makes a model that knows nothing.
        classes: how many request classes there are.
    """

    def __init__(self, make: Callable[[], M], classes: int) -> None:
        self._make = make
        self._classes = classes
        self.renew()

    def renew(self) -> None:
        """Forget everything."""
        self.elder = self._new()
        self.younger = self._new()

    def turn(self) -> None:
        """The younger takes over."""
        self.elder = self.younger
        self.younger = self._new()

    def _new(self) -> Generation[M]:
        return Generation(self._make(), np.zeros(self._classes))


@dataclass(frozen=True, slots=True)
class TurnRule:
    """How often generations turn.

    Attributes:
        period_s: least time between turns.
        starved_s: the same for a backend that gets less than half its fair share of requests.
        requests: least requests per backend of the pool between turns, so that a quiet night forgets nothing.
    """

    period_s: float
    starved_s: float
    requests: float


FIRST_S = 2.0
"""The first period; each is twice the one before, up to the rule's. What the first requests say (connections that are
made, caches that are cold) is soon forgotten so."""


class Turn:
    """When one backend's generations turn.

    Args:
        rule: how often.
        backends: how many the pool has.
        since_s: when the first period begins.
    """

    def __init__(self, rule: TurnRule, backends: int, since_s: float = 0.0) -> None:
        self._rule = rule
        self._backends = backends
        self._since_s = since_s
        self._pool = self._own = 0.0
        self._period_s = min(FIRST_S, rule.period_s)

    def resize(self, backends: int) -> None:
        """The pool has more backends, or fewer."""
        self._backends = backends

    def due(self, time_s: float, pool_requests: float, own_requests: float) -> bool:
        """Take in a tick's requests; True begins the next turn."""
        self._pool += pool_requests
        self._own += own_requests
        starved = self._own < self._pool / self._backends / 2.0
        age_s = time_s - self._since_s
        if age_s < (min(self._rule.starved_s, self._period_s) if starved else self._period_s):
            return False
        if self._pool < self._rule.requests * self._backends:
            return False
        self._since_s, self._pool, self._own = time_s, 0.0, 0.0
        self._period_s = min(2.0 * self._period_s, self._rule.period_s)
        return True
