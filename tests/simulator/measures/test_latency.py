import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.measures.latency import mean, percentiles, successful_ms
from tests.simulator.measures.made import made_log

VALUES = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50)


def test_latency_counts_from_arrival_and_only_of_successes() -> None:
    log = made_log([0.0, 1.0, 2.0], [0.5, 0.25, 9.0], queued_s=[0.5, 0.0, 0.0], status=[200, 404, 503])

    assert successful_ms(log).tolist() == [1000.0, 250.0]


def test_percentiles_interpolate() -> None:
    assert percentiles(np.arange(101.0), (50.0, 99.0, 99.9)) == pytest.approx([50.0, 99.0, 99.9])


def test_nothing_has_no_latency() -> None:
    assert mean(np.zeros(0)) is None
    assert percentiles(np.zeros(0), (50.0, 99.0)) == [None, None]


@given(VALUES)
def test_percentiles_ascend_between_the_extremes(values: list[float]) -> None:
    found = [
        value for value in percentiles(np.array(values), (0.0, 50.0, 90.0, 99.0, 99.9, 100.0)) if value is not None
    ]

    assert found == sorted(found)
    assert (found[0], found[-1]) == (min(values), max(values))


@given(VALUES, st.randoms(use_true_random=False))
def test_order_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert percentiles(np.array(values), (50.0, 99.0)) == percentiles(np.array(shuffled), (50.0, 99.0))
