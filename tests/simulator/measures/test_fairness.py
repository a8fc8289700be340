import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.measures.fairness import jain

LOADS = st.lists(st.integers(0, 10**9).map(float), min_size=1, max_size=30)


def test_by_hand() -> None:
    assert jain(np.array([3.0, 1.0])) == pytest.approx(16 / 20)


def test_the_extremes() -> None:
    assert jain(np.array([2.0, 2.0, 2.0, 2.0])) == pytest.approx(1.0)
    assert jain(np.array([7.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)
    assert jain(np.zeros(3)) is None


@given(LOADS, st.floats(1e-6, 1e6))
def test_it_lies_between_one_of_n_and_one_whatever_the_unit(loads: list[float], unit: float) -> None:
    load = np.array(loads)
    found, scaled = jain(load), jain(load * unit)

    if found is None:
        assert not load.any()
    else:
        assert 1 / len(loads) - 1e-9 <= found <= 1 + 1e-9
        assert scaled == pytest.approx(found, rel=1e-6)
