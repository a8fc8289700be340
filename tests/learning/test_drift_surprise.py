import pytest

from smartlb.learning.drift import WIDEST, error_surprise


def test_error_surprise_in_worked_numbers() -> None:
    assert error_surprise(0.0, 0.0, 0.0) == 0.0
    assert error_surprise(3.0, 1.0, 0.9) == pytest.approx(2.0)
    assert error_surprise(0.0, 1.0, 0.15) == pytest.approx(-2.0)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_surprises_are_cut(sign: float) -> None:
    assert error_surprise(50.0 * sign, 0.0, 0.0) == sign * WIDEST
