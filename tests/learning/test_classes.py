"""Slots: the classes with most traffic have their own, and keep it."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.learning.checkpoint import Names
from smartlb.learning.classes import LEAST, MOST, REST_S, SHARED, Slots
from smartlb.learning.learner import Learner, LearnerSettings
from tests.learning.telemetry import some_records


def blank(_slot: int) -> bool:
    return True


def known(_slot: int) -> bool:
    return False


def asked(slots: Slots, *requests: int, elapsed_s: float = 0.2, blank: Callable[[int], bool] = blank) -> list[int]:
    """The slots after a tick with so many requests of each class."""
    slots.take_in(np.repeat(np.arange(len(requests)), requests), elapsed_s, blank)
    of: list[int] = slots.of.tolist()
    return of


@pytest.mark.parametrize("classes", [1, MOST])
def test_few_classes_have_a_slot_each(classes: int) -> None:
    slots = Slots(classes)
    claims = np.random.default_rng(1).random((classes, 3))
    assert slots.count == classes
    assert asked(slots, 100) == list(range(classes))
    assert slots.spread(claims) is claims
    names = [f"class-{at}" for at in range(classes)]
    assert slots.names(names) == names


def test_the_classes_with_most_traffic_have_slots_of_their_own() -> None:
    slots = Slots(5, most=3)
    assert asked(slots, 20, 0, 15, 40, 30) == [2, 2, 2, 0, 1]
    assert slots.names(["a", "b", "c", "d", "e"]) == ["d", "e", SHARED]
    assert slots.spread(np.array([[0.0], [1.0], [2.0]])).ravel().tolist() == [2.0, 2.0, 2.0, 0.0, 1.0]


def test_a_class_seen_once_shares() -> None:
    slots = Slots(5, most=3)
    assert asked(slots, 1) == [2] * 5
    assert asked(slots, int(LEAST)) == [0, 2, 2, 2, 2]


def test_a_slot_is_lost_only_to_clearly_more_traffic_and_then_rests() -> None:
    slots = Slots(3, most=2)
    asked(slots, 50, 20)
    assert asked(slots, 0, 75, elapsed_s=0.0) == [0, 1, 1], "not to twice as much"
    assert asked(slots, 0, 25, elapsed_s=0.0) == [1, 1, 1]
    assert asked(slots, 1, 1, elapsed_s=REST_S / 2.0) == [1, 1, 1], "it rests"
    assert asked(slots, 20, 90, elapsed_s=REST_S / 2.0, blank=known) == [1, 1, 1], "it is not blank"
    assert asked(slots, 20, 90, elapsed_s=0.0) == [1, 0, 1]


def test_a_quiet_night_takes_no_slot() -> None:
    slots = Slots(3, most=2)
    asked(slots, 50)
    assert asked(slots, elapsed_s=1e6) == [0, 1, 1]
    assert asked(slots, 0, 60) == [0, 1, 1]


def test_under_steady_traffic_slots_seldom_change() -> None:
    rng, classes = np.random.default_rng(1), 1000
    share = 1.0 / np.arange(1, classes + 1)
    slots, changes, before = Slots(classes), 0, None
    for tick in range(3000):
        slots.take_in(rng.choice(classes, 100, p=share / share.sum()), 0.2, blank)
        if tick >= 500:
            changes += before is not None and (slots.of != before).any()
            before = slots.of.copy()
    assert changes <= 4
    assert (slots.of[:16] < MOST - 1).all()


ticks = st.lists(
    st.tuples(st.lists(st.integers(0, 9), max_size=200), st.floats(0.0, 100.0), st.booleans()), max_size=30
)


@given(ticks, st.integers(1, 9))
def test_no_two_classes_have_the_same_slot_of_their_own(
    history: list[tuple[list[int], float, bool]], most: int
) -> None:
    slots = Slots(10, most)
    for request_class, elapsed_s, forgotten in history:
        slots.take_in(np.array(request_class, np.int64), elapsed_s, blank if forgotten else known)
        own = slots.of[slots.of < most - 1].tolist()
        assert len(own) == len(set(own))
        assert slots.of.max() == slots.count - 1 == most - 1
        assert len(slots.names([""] * 10)) == most


NAMES = Names([f"class-{at}" for at in range(100)], {"web": ["a", "b"]})


def of_many(start_s: float, model: Learner) -> Learner:
    for tick in range(20):
        batch = [
            some_records(20, backend=backend, request_class=request_class, latency_s=latency_s)
            for request_class, latency_s in ((70, 0.3), (80, 0.01))
            for backend in range(2)
        ]
        rest = some_records(50, latency_s=0.03)
        rest["request_class"] = np.arange(50)
        model.update(np.concatenate([*batch, rest]), start_s + 0.2 * tick)
    return model


def test_a_checkpoint_has_the_classes_with_models_and_the_shared_one() -> None:
    before = of_many(0.0, Learner([range(2)], 100, LearnerSettings()))
    checkpoint = before.memory(NAMES)
    assert checkpoint.classes == NAMES.classes
    known = set(checkpoint.pools["web"].requests)
    assert {"class-70", "class-80", SHARED} <= known
    assert len(known) <= MOST

    warm = Learner([range(2)], 100, LearnerSettings())
    warm.recall(checkpoint, NAMES)
    for request_class in (70, 80, 99):
        assert warm.latency_s(0, 1.0, request_class) == pytest.approx(before.latency_s(0, 1.0, request_class), rel=0.2)


def test_a_checkpoint_of_many_classes_serves_few() -> None:
    checkpoint = of_many(0.0, Learner([range(2)], 100, LearnerSettings())).memory(NAMES)
    few = Learner([range(2)], 2, LearnerSettings())
    few.recall(checkpoint, Names(["class-80", "other"], NAMES.pools))
    assert few.latency_s(0, 1.0, 0) == pytest.approx(0.01, rel=0.3)
    assert np.isnan(few.latency_s(0, 1.0, 1))
