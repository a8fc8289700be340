"""A pool's positions as policies may know them."""

from collections.abc import Sequence

from smartlb.config.numbering import Member
from smartlb.policies.policy import Members


def members_of(members: Sequence[Member]) -> Members:
    """What policies may know of a pool's positions."""
    return Members(
        [member.settings.label if member.present else "" for member in members],
        [member.settings.weight if member.present else 0.0 for member in members],
    )
