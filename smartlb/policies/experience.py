"""What a router's latest answers say against the model: which backends are slower, or faster, than was learned.

The learner publishes a few times a second and remembers for seconds; a router sees every answer at once. Of each
backend it keeps how many times as long as expected the latest answers took, against the same over all backends. Much
noise is in that, as requests differ, so only a clear difference makes a backend dearer or cheaper, and only for as long
as answers keep saying so.
"""

from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from smartlb.policies.learned import Memory


class Pace(NamedTuple):
    """How fast experience is taken in and forgotten.

    Attributes:
        gain: weight of the latest answer in a backend's slowness.
        forgotten_s: how long it counts at most, less and less.
    """

    gain: float
    forgotten_s: float


ALL = Pace(gain=0.07, forgotten_s=6.0)
"""Of a router that sees all requests."""

FEW = Pace(gain=0.3, forgotten_s=2.0)
"""Of one that sees a few of them."""

POOL_GAIN = 0.01
"""Weight of the latest answer in what is usual over all backends."""

EXPECTED_GAIN = 0.1
"""Weight of the latest request in what is expected of a backend, over the classes that go there."""

CLEAR = 1.5
"""A backend this many times slower, or faster, than the others against what is expected counts as it did before."""

FREAK = 32.0
"""An answer counts as at most this many times what was expected."""

CHEAPEST = 0.1
"""Least factor of a cost."""

FAILING = 0.0
"""Stands in place of a factor while the latest request failed."""


def expect(memory: "Memory", backend: int, expected_s: float) -> None:
    """Take in what the model says of a request that is sent now."""
    if not 0.0 < expected_s < inf:
        return
    before_s = memory.expected_s[backend]
    memory.expected_s[backend] = before_s + EXPECTED_GAIN * (expected_s - before_s) if before_s > 0.0 else expected_s


def answered(memory: "Memory", backend: int, now_s: float, latency_s: float, pace: Pace) -> None:
    """Take in how long a request took that did not fail."""
    # Each answer passes here: taken apart at once, and without `min` and `max`, which is faster.
    _candidates, _failures, expected_s, slowness, factors, seen_s, usuals, _preference = memory
    if expected_s[backend] <= 0.0:
        return
    ratio = latency_s / expected_s[backend]
    if ratio > FREAK:
        ratio = FREAK
    usual = usuals[0]
    usuals[0] = usual + POOL_GAIN * (ratio - usual)
    before = usual * lag(memory, backend, now_s, pace)
    slowness[backend] = slow = (before + pace.gain * (ratio - before)) / usual
    seen_s[backend] = now_s
    factor = 1.0
    if slow > CLEAR:
        factor = slow / CLEAR
    elif slow * CLEAR < 1.0:
        factor = slow * CLEAR if slow * CLEAR > CHEAPEST else CHEAPEST
    factors[backend] = factor


def present(memory: "Memory", backend: int, now_s: float, pace: Pace) -> float:
    """What failures in a row, or else slowness, make of a backend's cost now: a factor."""
    if memory.failures[backend] > 0:
        return 1.0 + memory.failures[backend]
    return 1.0 + (memory.factor[backend] - 1.0) * fresh(memory, backend, now_s, pace)


def lag(memory: "Memory", backend: int, now_s: float, pace: Pace) -> float:
    """How many times as long as expected a backend's latest answers took, against those of all; 1 if not known."""
    return 1.0 + (memory.slowness[backend] - 1.0) * fresh(memory, backend, now_s, pace)


def fresh(memory: "Memory", backend: int, now_s: float, pace: Pace) -> float:
    """How far experience of a backend still counts, from 1 to 0."""
    age_s = now_s - memory.seen_s[backend]
    left = 1.0 - age_s / pace.forgotten_s if age_s > 0.0 else 1.0
    return left if left > 0.0 else 0.0
