"""Rise and fall: only a run of equal results changes a state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.control.rise_fall import Health, RiseFall


@pytest.mark.parametrize(
    ("rise", "fall", "results", "expected"),
    [
        (2, 3, "", Health.UNKNOWN),
        (2, 3, "+", Health.UNKNOWN),
        (2, 3, "++", Health.HEALTHY),
        (2, 3, "--", Health.UNKNOWN),
        (2, 3, "---", Health.UNHEALTHY),
        (2, 3, "--+--", Health.UNKNOWN),
        (2, 3, "++--", Health.HEALTHY),
        (2, 3, "++---", Health.UNHEALTHY),
        (2, 3, "---+-+", Health.UNHEALTHY),
        (2, 3, "---++", Health.HEALTHY),
        (1, 1, "+-", Health.UNHEALTHY),
        (1, 1, "-+", Health.HEALTHY),
    ],
)
def test_the_state_after_results(rise: int, fall: int, results: str, expected: Health) -> None:
    subject = RiseFall(rise, fall)
    for result in results:
        subject.observe(result == "+")
    assert subject.state is expected


@given(rise=st.integers(1, 4), fall=st.integers(1, 4), results=st.lists(st.booleans(), max_size=60))
def test_a_change_is_told_exactly_when_the_state_differs(rise: int, fall: int, results: list[bool]) -> None:
    subject = RiseFall(rise, fall)
    for at, passed in enumerate(results):
        before = subject.state
        assert subject.observe(passed) is (subject.state is not before)
        if subject.state is not before:
            run = rise if passed else fall
            assert subject.run == run
            assert results[at + 1 - run : at + 1] == [passed] * run
