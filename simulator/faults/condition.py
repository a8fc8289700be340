"""A backend's condition: what faults make of it, and how several at once add up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Condition:
    """How a backend is; the defaults are those of one that is well.

    Attributes:
        speed: factor on its speed, 0 while it stands still.
        crashed: refuses connections; what it had under way is lost.
        hanging: takes requests and never answers, not even those that it had.
        absent: not in the pool: no router sends it anything, what it has it finishes.
        fail: probability that a request is answered 500 at once.
        tail: probability that a request takes `tail_factor` times its work.
        tail_factor: at least 1.
    """

    speed: float = 1.0
    crashed: bool = False
    hanging: bool = False
    absent: bool = False
    fail: float = 0.0
    tail: float = 0.0
    tail_factor: float = 1.0

    @property
    def passes_checks(self) -> bool:
        """Whether it answers an active health check; one that only fails requests does, as half-broken servers do."""
        return not self.crashed and not self.hanging and self.speed > 0.0

    def joined(self, other: "Condition") -> "Condition":
        """Both at once: speeds multiply, probabilities are of independent events, of two tails the longer holds."""
        return Condition(
            speed=self.speed * other.speed,
            crashed=self.crashed or other.crashed,
            hanging=self.hanging or other.hanging,
            absent=self.absent or other.absent,
            fail=1.0 - (1.0 - self.fail) * (1.0 - other.fail),
            tail=1.0 - (1.0 - self.tail) * (1.0 - other.tail),
            tail_factor=max(self.tail_factor, other.tail_factor),
        )


WELL = Condition()


@dataclass(frozen=True, slots=True)
class Spell:
    """A condition of one backend for a time.

    Attributes:
        backend: its index.
        starts_s: when it begins.
        ends_s: when it is over; infinity for never.
        condition: what holds meanwhile, besides what other spells say.
    """

    backend: int
    starts_s: float
    ends_s: float
    condition: Condition


@dataclass(frozen=True, slots=True)
class Change:
    """From a time on, a backend is in a condition."""

    at_s: float
    backend: int
    condition: Condition


def changes(spells: Iterable[Spell]) -> list[Change]:
    """All spells at once, as one condition a backend and time, ascending by time, then backend.

    Where a backend's spells end and begin at one time, there is one change.
    """
    by_backend: dict[int, list[Spell]] = {}
    for spell in spells:
        by_backend.setdefault(spell.backend, []).append(spell)
    found = [change for backend, own in by_backend.items() for change in _changes(backend, own)]
    return sorted(found, key=lambda change: (change.at_s, change.backend))


def _changes(backend: int, spells: Sequence[Spell]) -> Iterable[Change]:
    edges = sorted({edge for spell in spells for edge in (spell.starts_s, spell.ends_s) if edge < inf})
    before = WELL
    for at_s in edges:
        condition = WELL
        for spell in spells:
            if spell.starts_s <= at_s < spell.ends_s:
                condition = condition.joined(spell.condition)
        if condition != before:
            yield Change(at_s, backend, condition)
        before = condition
