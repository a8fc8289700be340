"""A policy with its options and what it remembers, ready to be asked."""

from collections.abc import Callable, Sequence
from typing import Any

from smartlb.config.numbering import Member
from smartlb.policies.policy import Members, Policy


class Chooser:
    """A policy for the backends of one pool.

    Args:
        policy: that chooses.
        options: its options.
        members: of the pool.
        random: gives uniform random numbers.

    Attributes:
        pick, observe: of the policy.
        memory: what it remembers.
        draws: makes the random numbers of a pick.
    """

    def __init__(self, policy: Policy, options: Any, members: Members, random: Callable[[], float]) -> None:
        self._policy = policy
        self._options = options
        self.pick = policy.pick
        self.memory = policy.remember(members, options)
        self.observe = policy.observe
        self.draws = _draws(policy.draws(options), random)

    def renew(self, members: Members, same: Sequence[int]) -> None:
        """Go on with other members; `same` are the positions of backends that are still the same."""
        self.memory = self._policy.renew(self.memory, members, self._options, same)


def _draws(count: int, random: Callable[[], float]) -> Callable[[], tuple[float, ...]]:
    if count == 0:
        return lambda: ()
    if count == 1:
        return lambda: (random(),)
    if count == 2:
        return lambda: (random(), random())
    if count == 3:
        return lambda: (random(), random(), random())
    return lambda: tuple(random() for _ in range(count))


def members_of(members: Sequence[Member]) -> Members:
    """What policies may know of a pool's positions."""
    return Members(
        [member.settings.label if member.present else "" for member in members],
        [member.settings.weight if member.present else 0.0 for member in members],
    )
