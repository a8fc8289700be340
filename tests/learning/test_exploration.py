import numpy as np
import pytest

from smartlb.learning.cells import Matrix
from smartlb.learning.exploration import MOST_EXPLORED, SHARE, Debts

NONE = np.zeros(4)
FIRST = np.array([1.0, 0.0, 0.0, 0.0])
OTHERS = np.array([0.0, 20.0, 20.0, 20.0])


def debts(backends: int = 4) -> Debts:
    return Debts(backends, 0.1)


def owing(owed: Debts, ticks: int = 10, in_flight: Matrix | None = None) -> Debts:
    """After the first backend has failed, and while the others serve."""
    owed.settle(FIRST, FIRST)
    for _ in range(ticks):
        owed.settle(OTHERS, NONE, in_flight)
    return owed


def due(owed: Debts) -> list[bool]:
    return [bool(chance > 0.0) for chance in owed.chances]


def test_nothing_is_owed_at_first() -> None:
    assert not any(due(debts()))


def test_a_backend_that_failed_comes_due_and_a_success_ends_it() -> None:
    owed = owing(debts())
    assert due(owed) == [True, False, False, False]
    owed.settle(FIRST, NONE)
    for _ in range(10):
        owed.settle(OTHERS, NONE)
    assert not any(due(owed))


def test_one_request_pays_where_that_fails_too() -> None:
    owed = owing(debts())
    owed.settle(2.0 * FIRST, 2.0 * FIRST)
    assert not any(due(owed))
    assert due(owing(owed)) == [True, False, False, False]


def test_a_backend_without_requests_is_owed_none_as_long_as_it_did_not_fail() -> None:
    owed = debts()
    for _ in range(100):
        owed.settle(OTHERS, NONE)
    assert not any(due(owed))


def test_some_failures_among_successes_owe_nothing() -> None:
    owed = debts()
    owed.settle(OTHERS, OTHERS / 2.0)
    for _ in range(100):
        owed.settle(20.0 * FIRST, NONE)
    assert not any(due(owed))


def test_what_is_owed_is_a_share_of_the_traffic() -> None:
    owed, served, ticks = debts(), 0, 4000
    owed.settle(FIRST, FIRST)
    for _ in range(ticks):
        probe = float(due(owed)[0])
        served += int(probe)
        owed.settle(np.array([probe, 4.0, 4.0, 4.0]), probe * FIRST)
    fair = 12.0 * ticks / 4.0
    assert 0.9 <= served / (fair * 0.1 * SHARE) <= 1.2


def test_silence_raises_no_debt() -> None:
    owed = debts()
    owed.settle(FIRST, FIRST)
    for _ in range(1000):
        owed.settle(NONE, NONE)
    assert not any(due(owed))


def test_a_backend_of_which_nothing_ends_is_owed_no_more_than_it_has() -> None:
    owed = owing(debts(), in_flight=np.array([1.0, 2.0, 2.0, 2.0]))
    assert not any(due(owed))
    owed.settle(OTHERS, NONE, np.array([0.0, 2.0, 2.0, 2.0]))
    assert due(owed) == [True, False, False, False]


def test_about_one_request_a_tick_pays_a_debt() -> None:
    owed = owing(debts())
    assert float(owed.chances[0] * OTHERS.sum()) == pytest.approx(1.0)


def test_no_more_than_a_tenth_of_the_requests_explore() -> None:
    last = np.eye(50)[-1]
    owed = debts(backends=50)
    owed.settle(1.0 - last, 1.0 - last)
    for _ in range(1000):
        owed.settle(3.0 * last, 0.0 * last)
    assert sum(due(owed)) == 49
    assert owed.chances.sum() == pytest.approx(MOST_EXPLORED)
