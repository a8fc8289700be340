from math import log

import pytest

from smartlb.learning.drift import WIDEST
from smartlb.learning.pace import FURTHEST, Pace, Ratio


def test_a_ratio_forgets() -> None:
    ratio = Ratio(1.0)
    assert ratio.value == 1.0
    ratio.add(99.0, 0.0, 0.2)
    assert ratio.value == 100.0
    ratio.add(0.0, 0.0, 100.0)
    assert ratio.value == pytest.approx(1.0)


def test_surprise_in_worked_numbers() -> None:
    pace = Pace()
    assert pace.add(9.5, 9.5, 0.2, 0.2) == 0.0
    assert pace.add(9.5, 4.5, 0.2, 0.2) == pytest.approx(2.0 * log(2.0))
    assert pace.add(1e9, 0.0, 0.2, 0.2) == WIDEST


def test_it_waits_for_its_span() -> None:
    pace = Pace()
    assert pace.add(10.0, 0.0, 0.2, 0.5) is None
    assert pace.add(0.0, 5.0, 0.2, 0.5) is None
    assert pace.add(0.0, 0.0, 0.2, 0.5) is not None
    assert pace.add(10.0, 10.0, 0.2, 0.5) is None


def test_a_backend_that_stops_is_slow_at_once_and_within_reason() -> None:
    pace = Pace()
    for _ in range(50):
        pace.add(10.0, 10.0, 0.2, 0.2)
    assert pace.slowness == pytest.approx(1.0)
    surprises = [pace.add(20.0, 0.0, 0.2, 0.2) for _ in range(3)]
    assert surprises == [WIDEST] * 3
    assert 3.0 < pace.slowness <= FURTHEST


def test_long_downloads_are_no_stall() -> None:
    pace = Pace()
    surprises = [pace.add(500.0, 10.0, 0.2, 0.2) for _ in range(100)]
    assert surprises[0] == WIDEST
    assert abs(surprises[-1] or 0.0) < 0.5
    assert pace.slowness == pytest.approx(1.0, abs=0.2)
