import pytest

from smartlb.learning.cells import Cell
from smartlb.learning.sight import Sight


def test_all_is_seen_where_nothing_is_known() -> None:
    assert Sight().share == 1.0


@pytest.mark.parametrize("routers", [1, 4, 20])
def test_each_of_many_routers_sees_its_part(routers: int) -> None:
    sight = Sight()
    for _ in range(50):
        sight.add([[Cell(0, 6.0 / routers, 0.02, 10.0)], []], [6.0, 0.0], 0.2)
    assert sight.share == pytest.approx(1.0 / routers)


def test_what_is_not_known_does_not_count() -> None:
    sight = Sight()
    sight.add([[Cell(0, 0.0, 0.02, 10.0)]], [None], 0.2)
    assert sight.share == 1.0
