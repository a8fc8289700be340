"""The pages about the simulator say what is there."""

from pathlib import Path

import pytest

from simulator.contenders import CONTENDERS
from simulator.faults.registry import FAULTS
from simulator.reference import reference
from simulator.workload.arrivals.registry import ARRIVALS
from smartlb.policies.registry import POLICIES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_of_scenarios_is_up_to_date() -> None:
    assert (DOCS / "scenarios.md").read_text() == reference(), "run `make docs`"


@pytest.mark.parametrize("name", [*FAULTS, *ARRIVALS, *(name for name in CONTENDERS if name not in POLICIES)])
def test_the_page_names_everything_that_can_be_chosen(name: str) -> None:
    assert f"`{name}`" in (DOCS / "simulator.md").read_text()
