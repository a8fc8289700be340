import numpy as np
import pytest

from smartlb.learning.cells import Cell
from smartlb.learning.traffic import Traffic


def test_a_backend_has_a_load_of_its_own_and_a_new_one_the_pools() -> None:
    traffic = Traffic(1, 3)
    for _ in range(50):
        cells = [[Cell(0, 12.0, 0.02, 40.0)], [Cell(0, 2.0, 0.02, 40.0)], []]
        traffic.add(np.array([[40.0, 40.0, 0.0]]), cells, 0.2)
    assert traffic.loads[0] == pytest.approx(12.0, rel=0.05)
    assert traffic.loads[1] == pytest.approx(2.0, rel=0.1)
    assert traffic.loads[2] == pytest.approx(traffic.scale.in_flight)


def test_a_load_is_at_least_one() -> None:
    traffic = Traffic(1, 2)
    traffic.add(np.array([[50.0, 50.0]]), [[Cell(0, 0.0, 0.02, 50.0)], [Cell(0, 0.1, 0.02, 50.0)]], 0.2)
    assert traffic.loads.tolist() == [1.0, 1.0]
