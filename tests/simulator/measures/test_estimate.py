import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.measures.estimate import Estimate, estimate

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


def test_by_hand() -> None:
    # Standard deviation 1, three runs, t = 4.302653 for 95 % and 2 degrees of freedom.
    found = estimate([1.0, 2.0, 3.0])

    assert found is not None
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half_width == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


def test_one_run_has_no_interval() -> None:
    assert estimate([5.0]) == Estimate(5.0, None, 1)


def test_what_one_run_lacks_has_no_mean() -> None:
    assert estimate([1.0, None]) is None
    assert estimate([]) is None


@given(NUMBERS)
def test_it_is_the_interval_of_students_t(values: list[float]) -> None:
    found = estimate(values)
    error = stats.sem(values)

    assert found is not None
    assert found.half_width == pytest.approx(float(stats.t.ppf(0.975, len(values) - 1) * error), rel=1e-6, abs=1e-9)


def test_whether_it_excludes_zero() -> None:
    assert Estimate(3.0, 1.0, 3).excludes_zero is True
    assert Estimate(-3.0, 1.0, 3).excludes_zero is True
    assert Estimate(1.0, 3.0, 3).excludes_zero is False
    assert Estimate(1.0, None, 1).excludes_zero is None
