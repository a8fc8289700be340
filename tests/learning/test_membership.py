"""The learner, as backends join and leave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.core.record import Records
from smartlb.learning.learner import Learner, LearnerSettings
from tests.learning.telemetry import NOTHING, some_records

CLASSES = 2
SIZE = 6
POOLS = [range(2), range(2, SIZE)]


def learner() -> Learner:
    return Learner(POOLS, CLASSES, LearnerSettings())


def teach(model: Learner, *batches: Records, from_s: float = 0.0, ticks: int = 20) -> None:
    for tick in range(ticks):
        model.update(np.concatenate(batches), from_s + tick * 0.2)


def test_what_was_known_of_a_position_is_forgotten_with_its_backend_and_the_rest_stays() -> None:
    model = learner()
    model.seat(1, [(2, 1), (3, 1), (4, 1)])
    teach(model, *(some_records(5, backend=index, latency_s=0.01 * index) for index in (2, 3, 4)))
    before_s = model.latency_s(2, 0.0, 0)
    assert model.latency_s(3, 0.0, 0) == pytest.approx(0.03, rel=0.2)
    model.seat(1, [(2, 1), (3, 2), (5, 1)])
    assert np.isnan(model.latency_s(3, 0.0, 0))
    assert np.isnan(model.latency_s(4, 0.0, 0)), "it is gone"
    assert np.isnan(model.latency_s(5, 0.0, 0))
    assert model.latency_s(2, 0.0, 0) == before_s
    teach(model, some_records(5, backend=3, latency_s=0.5), from_s=5.0)
    assert model.latency_s(3, 0.0, 0) > 0.1


def test_late_records_of_one_that_is_gone_teach_nothing() -> None:
    model = learner()
    model.seat(1, [(2, 1), (3, 1)])
    teach(model, some_records(5, backend=2), some_records(5, backend=3))
    model.seat(1, [(2, 1)])
    samples = model.samples
    snapshot = model.update(some_records(9, backend=3), 10.0)
    assert model.samples == samples
    assert snapshot.weight[:, 2].tolist() == [1.0] * CLASSES
    assert not snapshot.weight[:, 3:].any()


members = st.lists(st.tuples(st.integers(2, SIZE - 1), st.integers(1, 3)), unique_by=lambda seat: seat[0]).map(sorted)


@settings(deadline=None, max_examples=40)
@given(st.lists(members, min_size=1, max_size=8))
def test_weights_are_those_of_the_members_whatever_joins_and_leaves(turns: list[list[tuple[int, int]]]) -> None:
    model = learner()
    for turn, seats in enumerate(turns):
        model.seat(1, seats)
        here = [index for index, _ in seats]
        for tick in range(3):
            batch = [some_records(2, backend=index, request_class=tick % 2, latency_s=0.01) for index in here]
            in_flight = np.full(SIZE, 2.0)
            snapshot = model.update(np.concatenate([NOTHING, *batch]), turn + tick * 0.2, in_flight)
        for matrix in (snapshot.weight, snapshot.explore, snapshot.base_s, snapshot.slope_s, snapshot.error_rate):
            assert np.isfinite(matrix).all()
        away = [index for index in POOLS[1] if index not in here]
        assert not snapshot.weight[:, away].any()
        if here:
            assert snapshot.weight[:, here].sum(axis=1) == pytest.approx(1.0)
            assert (snapshot.weight[:, here] > 0.0).all()
        assert snapshot.weight[:, :2].sum(axis=1) == pytest.approx(1.0)
