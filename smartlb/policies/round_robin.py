"""round_robin: each eligible backend in turn, regardless of weight or load."""

from array import array
from collections.abc import MutableSequence, Sequence
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy


def remember(_members: Members, _options: Any) -> tuple[MutableSequence[int]]:
    """The turn, as an array of one so that a pick can advance it."""
    return (array("q", [0]),)


def pick(
    pool: PoolView,
    memory: tuple[MutableSequence[int]],
    _request_class: int,
    _key: int,
    _now_s: float,
    _draws: Sequence[float],
) -> int:
    """The next eligible backend."""
    turn = memory[0]
    eligible = pool.eligible
    at = turn[0] % len(eligible)
    turn[0] = at + 1
    return eligible[at]


POLICY = Policy(name="round_robin", pick=pick, remember=remember)
