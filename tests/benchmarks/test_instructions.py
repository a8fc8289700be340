import pytest

from benchmarks.rig.instructions import INSTALL, counter, of_cases
from benchmarks.rig.processes import BenchmarkError


@pytest.fixture
def counting() -> None:
    with counter() as by:
        if by is None:
            pytest.skip(f"nothing counts instructions here: {INSTALL}")


@pytest.mark.usefixtures("counting")
def test_ten_times_the_work_is_ten_times_the_instructions() -> None:
    found = of_cases("tests.benchmarks.loops", ["little", "much"], 50, passes=2)
    assert {name: len(passes) for name, passes in found.items()} == {"little": 2, "much": 2}
    for little, much in zip(found["little"], found["much"], strict=True):
        assert little > 100
        assert much / little == pytest.approx(10, rel=0.5)


@pytest.mark.usefixtures("counting")
def test_a_module_that_ends_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="ended while little was counted"):
        of_cases("tests.benchmarks.nothing_of_that_name", ["little"], 1)
