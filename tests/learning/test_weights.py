import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smartlb.learning.cells import Matrix
from smartlb.learning.weights import DEAREST, EVENNESS, fill, opportunity, relieve, split, step


def converged(cost: Matrix, mix: Matrix) -> Matrix:
    share = np.full(cost.shape, 1.0 / cost.shape[1])
    for _ in range(20):
        share = split(cost, mix, share)
    return share


def test_equals_get_equal_shares() -> None:
    assert split(np.full((2, 4), 3.0), np.ones(2), np.full((2, 4), 0.25)) == pytest.approx(0.25)


def test_shares_go_by_capacity_and_a_little_more_to_the_fast() -> None:
    share = converged(np.array([[1.0, 2.0, 4.0]]), np.ones(1))[0]
    exponent = EVENNESS / (EVENNESS - 1.0)
    assert share[0] / share[1] == pytest.approx(2.0**exponent, rel=1e-3)
    assert share[0] / share[2] == pytest.approx(4.0**exponent, rel=1e-3)


def test_each_class_goes_where_it_is_cheap() -> None:
    cost = np.array([[1.0, 1.0, 4.0, 4.0], [4.0, 4.0, 1.0, 1.0]])
    share = converged(cost, np.array([0.5, 0.5]))
    assert share[0, :2].sum() > 0.99
    assert share[1, 2:].sum() > 0.99


def test_a_class_too_big_for_its_cheap_backends_spills_over() -> None:
    cost = np.array([[1.0, 4.0], [4.0, 1.0]])
    share = converged(cost, np.array([0.9, 0.1]))
    load = (np.array([0.9, 0.1])[:, None] * share * cost).sum(axis=0)
    assert share[0, 1] > 0.05
    assert load[1] / load[0] == pytest.approx(0.25 ** (1.0 / (EVENNESS - 1.0)), rel=0.02), "the optimum's condition"


def test_a_class_without_traffic_is_split_too() -> None:
    share = split(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([1.0, 0.0]), np.full((2, 2), 0.5))
    assert share == pytest.approx(0.5)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 8))


def shares(shape: tuple[int, int], floor: float) -> st.SearchStrategy[Matrix]:
    def spread(parts: Matrix) -> Matrix:
        return np.asarray(floor / shape[1] + (1.0 - floor) * parts / parts.sum(axis=1, keepdims=True))

    return hnp.arrays(np.float64, shape, elements=st.floats(1e-3, 1.0)).map(spread)


@given(st.data(), shapes, st.floats(0.001, 0.5), st.sampled_from([1.05, 1.4, np.inf]))
def test_a_step_keeps_sum_floor_and_bound(
    data: st.DataObject, shape: tuple[int, int], floor: float, factor: float
) -> None:
    weight = data.draw(shares(shape, floor))
    target = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(1e-9, 1e9)))
    stepped = step(weight, target, floor / shape[1], factor)
    assert stepped.sum(axis=1) == pytest.approx(1.0)
    assert (stepped >= floor / shape[1] * (1.0 - 1e-6)).all()
    assert (stepped <= weight * factor * (1.0 + 1e-6)).all()
    assert (stepped >= weight / factor * (1.0 - 1e-6)).all()


@given(st.data(), shapes)
def test_without_a_bound_a_step_arrives(data: st.DataObject, shape: tuple[int, int]) -> None:
    weight, target = data.draw(shares(shape, 0.1)), data.draw(shares(shape, 0.1))
    assert step(weight, target, 0.1 / shape[1], np.inf) == pytest.approx(target, rel=1e-6)


@given(
    hnp.arrays(np.float64, (2, 5), elements=st.floats(1e-6, 1e5)),
    hnp.arrays(np.float64, 2, elements=st.floats(0.01, 1.0)),
)
def test_shares_are_positive_and_sum_to_one(cost: Matrix, mix: Matrix) -> None:
    share = split(cost, mix, np.full((2, 5), 0.2))
    assert (share > 0.0).all()
    assert share.sum(axis=1) == pytest.approx(1.0)


def test_no_place_that_a_class_is_sent_to_is_dearer_than_another() -> None:
    cost = np.array([[1.0, 2.0, 4.0]])
    share = split(cost, np.ones(1), np.full((1, 3), 1 / 3))
    assert opportunity(cost, np.ones(1), share) == pytest.approx(np.ones((1, 3)), rel=1e-3)


def test_a_place_that_is_better_kept_for_another_class_is_dearer() -> None:
    cost = np.array([[1.0, 4.0], [4.0, 1.0]])
    mix = np.array([0.5, 0.5])
    share = split(cost, mix, np.full((2, 2), 0.5))
    dearer = opportunity(cost, mix, share)
    assert dearer.diagonal() == pytest.approx([1.0, 1.0])
    assert dearer[0, 1] == pytest.approx(4.0, rel=0.01)
    assert dearer.max() <= DEAREST


def test_where_more_is_in_flight_than_usual_the_next_requests_are_fewer() -> None:
    weight = np.full((1, 4), 0.25)
    latency_s = np.full((1, 4), 0.02)
    rates = np.array([100.0])
    assert relieve(weight, np.array([2.0, 2.0, 2.0, 2.0]), latency_s, rates, 0.4) == pytest.approx(weight)
    relieved = relieve(weight, np.array([6.0, 2.0, 0.0, 0.0]), latency_s, rates, 0.4)
    # Ten requests come to each within the horizon; the first has four more than its share.
    assert relieved[0, 0] == pytest.approx(0.6 * 0.25, rel=1e-6)
    assert relieved[0, 1] == pytest.approx(0.25)
    assert relieved[0, 2] == pytest.approx(1.2 * 0.25, rel=1e-6)


@given(
    in_flight=hnp.arrays(np.float64, 5, elements=st.floats(0.0, 1e6)),
    rates=hnp.arrays(np.float64, 3, elements=st.floats(0.0, 1e6)),
)
def test_relieved_weights_are_weights(in_flight: Matrix, rates: Matrix) -> None:
    weight = np.full((3, 5), 0.2)
    relieved = relieve(weight, in_flight, np.full((3, 5), 0.1), rates, 0.4)
    assert relieved.sum(axis=1) == pytest.approx(1.0)
    assert np.all(relieved > 0.0)


def test_the_next_requests_fill_up_the_cheapest() -> None:
    base_s, slope_s = np.array([[0.1, 0.1, 0.4]]), np.array([[0.1, 0.1, 0.1]])
    # Costs 0.1, 0.2 and 0.4: the first request evens out the first two, the other two are shared.
    weight = fill(base_s, slope_s, np.array([0.0, 1.0, 0.0]), 3.0)
    assert weight[0] == pytest.approx([2.0 / 3.0, 1.0 / 3.0, 0.0], abs=0.01)
    assert fill(base_s, slope_s, np.array([0.0, 0.0, 0.0]), 1e6)[0] == pytest.approx(1.0 / 3.0, abs=0.01)


@given(
    base_s=hnp.arrays(np.float64, (3, 5), elements=st.floats(0.0, 1e3)),
    slope_s=hnp.arrays(np.float64, (3, 5), elements=st.floats(0.0, 1e3)),
    in_flight=hnp.arrays(np.float64, 5, elements=st.floats(0.0, 1e6)),
    coming=st.floats(1.0, 1e6),
)
def test_filling_weights_are_weights(base_s: Matrix, slope_s: Matrix, in_flight: Matrix, coming: float) -> None:
    weight = fill(base_s, slope_s, in_flight, coming)
    assert weight.sum(axis=1) == pytest.approx(1.0)
    assert np.all(weight > 0.0)
