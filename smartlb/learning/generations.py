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
