"""The ejector: what counts, for how long, and never too many at once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.config.model import Ejection
from smartlb.control.ejection import Ejector
from smartlb.core.outcome import Blame, Outcome
from smartlb.core.record import NO_BACKEND, RECORD, Records

SETTINGS = Ejection(consecutive_failures=3, base_ejection_s=5.0, max_ejection_s=12.0, max_ejected_share=0.5)


def records(*rows: dict[str, Any]) -> Records:
    made = np.zeros(len(rows), dtype=RECORD)
    for record, row in zip(made, rows, strict=True):
        for name, value in {"status": 200, "attempt": 1, **row}.items():
            record[name] = value
    return made


def failures(count: int, backend: int = 0, at_s: float = 0.0) -> Records:
    return records(*[{"backend": backend, "status": 502, "outcome": Outcome.RESET, "arrived_s": at_s}] * count)


def ejector(backends: int = 2, settings: Ejection | None = SETTINGS) -> Ejector:
    return Ejector([(range(backends), settings)])


def test_enough_failures_in_a_row_eject_for_the_base_time() -> None:
    subject = ejector()
    assert subject.observe(failures(2), now_s=1.0) == []
    (ejected,) = subject.observe(failures(1), now_s=1.1)
    assert (ejected.index, ejected.for_s) == (0, 5.0)
    assert ejected.reason == "3 failed requests in a row, left out for 5 s"
    assert subject.ejected(0)
    assert not subject.ejected(1)
    assert subject.ejections(0) == 1


def test_a_success_begins_the_count_anew() -> None:
    subject = ejector()
    subject.observe(failures(2), now_s=0.0)
    subject.observe(records({"backend": 0}), now_s=0.0)
    assert subject.observe(failures(2), now_s=0.0) == []


def test_the_order_of_completion_counts_not_that_of_the_records() -> None:
    # The success was dispatched first and ended last, between the second failure and nothing.
    slow_success = {"backend": 0, "arrived_s": 1.0, "queued_s": 0.5, "total_s": 3.0}
    early = [{"backend": 0, "arrived_s": 2.0, "total_s": 0.5, "outcome": Outcome.MALFORMED}] * 2
    late = {"backend": 0, "arrived_s": 2.0, "total_s": 4.0, "outcome": Outcome.MALFORMED}
    assert ejector().observe(records(late, *early, slow_success), now_s=6.0) == []
    fast_success = {**slow_success, "total_s": 0.1}
    assert len(ejector().observe(records(late, *early, fast_success), now_s=6.0)) == 1


@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_complete_5xx_is_a_failure(status: int) -> None:
    assert ejector().observe(records(*[{"backend": 0, "status": status}] * 3), now_s=0.0)


@pytest.mark.parametrize("status", [200, 404, 429])
def test_other_complete_answers_are_successes_and_429_is_one_of_them(status: int) -> None:
    row = {"backend": 0, "status": status}
    assert ejector().observe(records(*[row] * 9), now_s=0.0) == []
    subject = ejector()
    subject.observe(failures(2), now_s=0.0)
    subject.observe(records(row), now_s=0.0)
    assert subject.observe(failures(1), now_s=0.0) == []


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.blame in (Blame.CLIENT, Blame.ROUTER)])
def test_what_clients_and_the_router_cause_is_neither_failure_nor_success(outcome: Outcome) -> None:
    foreign = records(*[{"backend": 0, "outcome": outcome, "status": 503}] * 9)
    subject = ejector()
    assert subject.observe(foreign, now_s=0.0) == []
    subject.observe(failures(2), now_s=0.0)
    subject.observe(foreign, now_s=0.0)
    assert len(subject.observe(failures(1), now_s=0.0)) == 1


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome >= Outcome.CONNECT_FAILED])
def test_every_outcome_that_is_blamed_on_the_backend_counts(outcome: Outcome) -> None:
    assert ejector().observe(records(*[{"backend": 1, "outcome": outcome, "status": 0}] * 3), now_s=0.0)


def test_records_without_a_backend_are_passed_over() -> None:
    assert ejector().observe(failures(9, backend=NO_BACKEND), now_s=0.0) == []


def test_an_ejection_ends_at_its_time_and_not_before() -> None:
    subject = ejector()
    subject.observe(failures(3), now_s=1.0)
    assert subject.release(5.9) == []
    assert subject.release(6.0) == [0]
    assert not subject.ejected(0)
    assert subject.release(99.0) == []
    assert subject.ejections(0) == 1


def test_ejections_in_a_row_grow_up_to_the_longest() -> None:
    subject = ejector()
    now_s = 0.0
    lengths = []
    for _ in range(4):
        (ejected,) = subject.observe(failures(3, at_s=now_s), now_s=now_s)
        lengths.append(ejected.for_s)
        now_s += ejected.for_s
        assert subject.release(now_s) == [0]
    assert lengths == [5.0, 10.0, 12.0, 12.0]


@pytest.mark.parametrize(("quiet_s", "expected_s"), [(4.9, 10.0), (5.0, 5.0), (500.0, 5.0)])
def test_each_base_period_without_ejection_takes_one_off(quiet_s: float, expected_s: float) -> None:
    subject = ejector()
    subject.observe(failures(3), now_s=0.0)
    subject.release(5.0)
    (ejected,) = subject.observe(failures(3, at_s=5.0 + quiet_s), now_s=5.0 + quiet_s)
    assert ejected.for_s == pytest.approx(expected_s)


def test_requests_from_before_the_end_of_an_ejection_do_not_count_afterwards() -> None:
    subject = ejector()
    subject.observe(failures(3), now_s=0.0)
    subject.release(5.0)
    assert subject.observe(failures(9, at_s=4.9), now_s=5.1) == []
    assert len(subject.observe(failures(3, at_s=5.0), now_s=5.1)) == 1


def test_failures_during_an_ejection_do_not_count() -> None:
    subject = ejector()
    subject.observe(failures(3), now_s=0.0)
    assert subject.observe(failures(9, at_s=1.0), now_s=1.0) == []
    assert subject.ejections(0) == 1
    assert subject.release(5.0) == [0]


@pytest.mark.parametrize(
    ("backends", "share", "most"),
    [(1, 0.5, 0), (1, 1.0, 1), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (100, 0.29, 29)],
)
def test_only_a_share_of_the_pool_is_ejected_at_once(backends: int, share: float, most: int) -> None:
    subject = ejector(backends, SETTINGS.model_copy(update={"max_ejected_share": share}))
    for backend in range(backends):
        subject.observe(failures(3, backend), now_s=0.0)
    assert sum(map(subject.ejected, range(backends))) == most


def test_a_backend_that_still_fails_takes_the_room_that_comes_free() -> None:
    subject = ejector(2)
    subject.observe(failures(3, 0), now_s=0.0)
    assert subject.observe(failures(5, 1), now_s=1.0) == []
    subject.release(5.0)
    (ejected,) = subject.observe(failures(1, 1, at_s=5.0), now_s=5.0)
    assert ejected.index == 1


def test_pools_have_their_own_settings_and_room() -> None:
    subject = Ejector([(range(2), SETTINGS), (range(2, 4), None), (range(4, 6), SETTINGS)])
    for backend in range(6):
        subject.observe(failures(3, backend), now_s=0.0)
    assert [subject.ejected(index) for index in range(6)] == [True, False, False, False, True, False]
    assert subject.ejections(2) == 0


STEP = st.tuples(
    st.integers(0, 6),
    st.sampled_from([(Outcome.COMPLETE, 200), (Outcome.COMPLETE, 500), (Outcome.RESET, 0), (Outcome.CLIENT_GONE, 0)]),
    st.sampled_from([0.0, 0.5, 4.0]),
)


@given(
    share=st.floats(0, 1),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    steps=st.lists(STEP, max_size=150),
)
def test_the_cap_holds_and_every_ejection_ends(
    share: float, sizes: tuple[int, int], steps: list[tuple[int, tuple[Outcome, int], float]]
) -> None:
    settings = Ejection(consecutive_failures=2, base_ejection_s=2.0, max_ejection_s=7.0, max_ejected_share=share)
    pools = [range(sizes[0]), range(sizes[0], sum(sizes))]
    subject = Ejector([(members, settings) for members in pools])
    now_s = 0.0
    begun = 0
    for backend, (outcome, status), pause_s in steps:
        now_s += pause_s
        subject.release(now_s)
        row = {"backend": backend, "outcome": outcome, "status": status, "arrived_s": now_s}
        for ejected in subject.observe(records(row), now_s):
            begun += 1
            assert ejected.index == backend
            assert 2.0 <= ejected.for_s <= 7.0
        for members in pools:
            assert sum(map(subject.ejected, members)) <= share * len(members) + 1e-9
    assert sum(map(subject.ejections, range(sum(sizes)))) == begun
    subject.release(now_s + 7.0)
    assert not any(map(subject.ejected, range(sum(sizes))))
