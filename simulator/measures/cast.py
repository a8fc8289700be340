"""Who takes part in a comparison, and what each of them is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Cast:
    """Roles, by the policies' names.

    Attributes:
        champion: the one whose losses are listed.
        clairvoyant: what regret is relative to; it knows everything, so nobody could build it.
        told: know what nobody knows outside a simulator, such as the true capacities.
        references: others' algorithms, rebuilt for comparison.
    """

    champion: str = "learned"
    clairvoyant: str = "clairvoyant"
    told: frozenset[str] = field(default_factory=frozenset)
    references: frozenset[str] = field(default_factory=frozenset)

    def realisable(self, policy: str) -> bool:
        """Whether it could exist outside a simulator, so that it can win."""
        return policy != self.clairvoyant and policy not in self.told

    def mark(self, policy: str) -> str:
        """What stands beside its name in tables; see `legend`."""
        if policy == self.clairvoyant:
            return "‡"
        if policy in self.told:
            return "†"
        return "°" if policy in self.references else ""

    def legend(self, policies: Iterable[str]) -> list[str]:
        """What the marks mean that these policies have."""
        marks = {self.mark(policy) for policy in policies}
        meanings = {
            "‡": "knows what every request takes and how every backend is: a bound, not a policy",
            "†": "is told the true capacities, which nobody knows so well outside a simulator",
            "°": "another project's algorithm, rebuilt for comparison",
        }
        return [f"{mark} {meaning}" for mark, meaning in meanings.items() if mark in marks]


CAST: Final = Cast()
"""Nobody is told anything, and there are no references."""
