"""Which causes are retried, and how many retries the budget has room for."""

import pytest

from smartlb.config.model import Retries as Settings
from smartlb.core.outcome import Outcome
from smartlb.upstream.retries import Retries


def test_causes_are_outcomes_and_statuses() -> None:
    retries = Retries(Settings(retry_on=["reset", "502-504", "429"]))
    assert retries.causes == {Outcome.RESET, 429, 502, 503, 504}


def test_by_default_only_what_reached_nobody_is_retried() -> None:
    assert Retries(Settings()).causes == {Outcome.CONNECT_FAILED, Outcome.CONNECT_TIMEOUT}


@pytest.mark.parametrize(
    ("share", "minimum", "under_way", "most"),
    [(0.2, 3, 0, 3), (0.2, 3, 15, 3), (0.2, 3, 20, 4), (0.2, 3, 100, 20), (0.0, 0, 100, 0), (1.0, 0, 7, 7)],
)
def test_a_share_of_the_requests_under_way_but_always_a_few(
    share: float, minimum: int, under_way: int, most: int
) -> None:
    retries = Retries(Settings(budget_share=share, budget_min=minimum))
    while retries.active < 1000 and retries.affordable(under_way):
        retries.begin()
    assert (retries.active, retries.begun, retries.refused) == (most, most, 1)
    if most:
        retries.active -= 1
        assert retries.affordable(under_way)
