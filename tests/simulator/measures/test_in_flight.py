import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.api import run
from simulator.measures.in_flight import averages, grows, little, little_of, unended
from tests.simulator.measures.made import made_log, made_run

MICROSECONDS = 10**6
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 1000 * MICROSECONDS).map(lambda at: at / MICROSECONDS),
        st.integers(0, 100 * MICROSECONDS).map(lambda at: at / MICROSECONDS),
    ),
    min_size=1,
    max_size=60,
)


def test_littles_law_by_hand() -> None:
    # One from 0 to 4, one from 1 to 3: six request seconds in four seconds.
    found = little_of(np.array([0.0, 1.0]), np.array([4.0, 2.0]))

    assert found.in_flight == pytest.approx(1.5)
    assert found.rate_times_latency == pytest.approx(0.5 * 3.0)


@given(REQUESTS)
def test_littles_law_holds_for_any_requests(requests: list[tuple[float, float]]) -> None:
    arrived, latency = np.array(requests).T
    found = little_of(arrived, latency)

    assert found.in_flight == pytest.approx(found.rate_times_latency, rel=1e-6, abs=1e-9)


def test_littles_law_holds_for_a_simulated_run() -> None:
    found = run("crash", "random", seed=3)
    both = little(found)

    assert (found.log["last"] == 0).any()  # some were retried
    assert both.in_flight == pytest.approx(both.rate_times_latency, rel=1e-9)
    assert unended(found) == 0


def test_requests_that_are_lost_or_end_twice_are_noticed() -> None:
    assert unended(made_run(made_log([0.0, 1.0, 2.0], 0.1, last=[1, 0, 1]))) == 1
    assert unended(made_run(made_log([0.0, 1.0, 2.0], 0.1, request=[0, 1, 1]))) == 1
    assert unended(made_run(made_log([0.0, 1.0, 2.0], 0.1))) == 0
    assert unended(made_run(made_log([], []))) == 0


def test_nothing_is_under_way_without_requests() -> None:
    assert little_of(np.zeros(0), np.zeros(0)) == little_of(np.ones(1), np.zeros(1))


def test_averages_by_hand() -> None:
    found = averages(np.array([0.0, 1.0]), np.array([4.0, 2.0]), [0.0, 2.0, 4.0, 6.0])

    assert found == pytest.approx([1.5, 1.5, 0.0])


@given(REQUESTS)
def test_averages_add_up_to_all_latency(requests: list[tuple[float, float]]) -> None:
    arrived, latency = np.array(requests).T
    found = averages(arrived, latency, [0.0, 10.0, 500.0, 1200.0])

    assert np.dot(found, [10.0, 490.0, 700.0]) == pytest.approx(latency.sum(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("quarters", "expected"),
    [
        ([100.0, 200.0, 300.0, 400.0], True),
        ([100.0, 200.0, 199.0, 400.0], False),  # not all the time
        ([1000.0, 1050.0, 1100.0, 1150.0], False),  # not by a quarter
        ([1.0, 2.0, 3.0, 4.0], False),  # not by ten a backend
    ],
)
def test_growing_queues(quarters: list[float], expected: bool) -> None:
    assert grows(quarters, backends=2) is expected
