"""What is around the kernel: the agenda, health checks and ejection, the telemetry, the random streams."""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.agenda import Agenda
from simulator.checks import Checks
from simulator.faults.condition import WELL, Condition
from simulator.kernel.state import LOG, Server, State, make_state
from simulator.streams import streams
from simulator.telemetry import Reader
from smartlb.config.model import Ejection, HealthCheck
from smartlb.core.outcome import Outcome

# Agenda


def run_until(agenda: Agenda, end_s: float) -> None:
    for _ in range(10_000):
        if agenda.next_s > end_s:
            return
        agenda.run_due()
    pytest.fail(f"time stands still at {agenda.next_s:g} s")


def noting(into: list[Any], what: Any) -> Callable[[float], None]:
    return lambda now_s: into.append((now_s, what))


def test_duties_come_in_time_and_those_of_one_time_in_their_order() -> None:
    agenda, done = Agenda(), list[Any]()
    for at, time_s in enumerate([2.0, 1.0, 2.0, 0.0, 1.0, 2.0]):
        agenda.at(time_s, noting(done, at))
    run_until(agenda, 2.0)
    assert done == [(0.0, 3), (1.0, 1), (1.0, 4), (2.0, 0), (2.0, 2), (2.0, 5)]


def test_nothing_to_do_is_never_due() -> None:
    agenda, done = Agenda(), list[Any]()
    assert agenda.next_s == inf
    agenda.run_due()
    agenda.at(3.0, noting(done, "once"))
    assert agenda.next_s == 3.0
    agenda.run_due()
    assert (agenda.next_s, done) == (inf, [(3.0, "once")])


def test_what_repeats_comes_after_what_was_there_before_it() -> None:
    agenda, done = Agenda(), list[Any]()
    agenda.every(0.5, noting(done, "tick"), 0.5)
    agenda.at(1.0, noting(done, "once"))
    agenda.every(0.25, noting(done, "tock"), 1.0)
    run_until(agenda, 1.25)
    # The tick of 1.0 was entered at 0.5, when the others were there already.
    assert done == [(0.5, "tick"), (1.0, "once"), (1.0, "tock"), (1.0, "tick"), (1.25, "tock")]


def test_a_duty_for_now_is_done_at_once() -> None:
    agenda, done = Agenda(), list[Any]()
    agenda.at(1.0, lambda now_s: agenda.at(now_s, noting(done, "entered")))
    agenda.at(1.0, noting(done, "there"))
    agenda.run_due()
    assert done == [(1.0, "there"), (1.0, "entered")]
    assert agenda.next_s == inf


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5)))
def test_the_order_is_that_of_a_stable_sort(times: list[int]) -> None:
    agenda, done = Agenda(), list[Any]()
    for at, time_s in enumerate(times):
        agenda.at(float(time_s), noting(done, at))
    run_until(agenda, 5.0)
    assert done == [(times[at], at) for at in sorted(range(len(times)), key=times.__getitem__)]


# Checks

CHECK = HealthCheck(interval_s=1.0, timeout_s=0.25, rise=2, fall=3)


class Checked:
    """Checks of some backends, all well at first, each looked at on the full second but for the very first."""

    def __init__(self, count: int, health_check: HealthCheck | None = CHECK, ejection: Ejection | None = None) -> None:
        self.conditions = [WELL] * count
        self.agenda = Agenda()
        self.changed = 0
        at_once: Any = type("AtOnce", (), {"random": lambda _self: 0.0})()
        self.checks = Checks(self.conditions, health_check, ejection, self.agenda, at_once, self._count)

    def _count(self) -> None:
        self.changed += 1

    def until(self, end_s: float) -> list[bool]:
        run_until(self.agenda, end_s)
        return list(map(bool, self.checks.eligible))

    def bars(self) -> list[tuple[float, int, bool]]:
        return [(bar.at_s, bar.backend, bar.eligible) for bar in self.checks.bars]


def test_new_backends_are_used_at_once() -> None:
    assert Checked(2).until(-1.0) == [True, True]
    assert Checked(2, None).until(100.0) == [True, True]


@pytest.mark.parametrize(
    ("condition", "later_s"),
    [(Condition(crashed=True), 0.0), (Condition(hanging=True), 0.25), (Condition(speed=0.0), 0.25)],
    ids=["refused at once", "no answer in time", "stands still"],
)
def test_three_failures_take_out_and_two_successes_bring_back(condition: Condition, later_s: float) -> None:
    of = Checked(2)
    of.until(1.5)
    of.conditions[1] = condition
    assert of.until(4.0 + later_s - 0.01) == [True, True]
    assert of.until(4.0 + later_s) == [True, False]
    of.until(5.5)
    of.conditions[1] = WELL
    assert of.until(6.9) == [True, False]
    assert of.until(7.0) == [True, True]
    assert of.bars() == [(4.0 + later_s, 1, False), (7.0, 1, True)]
    assert of.changed == 2
    assert [bar.reason for bar in of.checks.bars] == ["unhealthy: 3 checks in a row", "healthy: 2 checks in a row"]


def test_a_backend_that_wakes_up_within_the_timeout_has_answered() -> None:
    of = Checked(1)
    for second in (1, 2, 3, 4):
        of.until(second - 0.5)
        of.conditions[0] = Condition(speed=0.0)
        of.until(second + 0.1)
        of.conditions[0] = WELL
    assert of.until(6.0) == [True]
    assert of.bars() == []


def test_one_that_only_fails_requests_passes_its_checks() -> None:
    of = Checked(1)
    of.conditions[0] = Condition(fail=1.0, speed=0.01)
    assert of.until(20.0) == [True]


def test_who_is_absent_is_not_eligible_and_no_bar_tells_of_it() -> None:
    of = Checked(2)
    of.conditions[0] = Condition(absent=True)
    assert of.until(10.0) == [False, True]
    assert of.bars() == []


def test_checks_are_spread_over_the_interval() -> None:
    agenda = Agenda()
    conditions = [WELL] * 50
    checks = Checks(conditions, CHECK, None, agenda, np.random.default_rng(0), lambda: None)
    conditions[:] = [Condition(crashed=True)] * 50
    run_until(agenda, 4.0)
    times = sorted(bar.at_s for bar in checks.bars)
    assert len(times) == 50
    assert 2.0 <= times[0] < 2.2
    assert 2.8 < times[-1] < 3.0
    assert len(set(times)) == 50


EJECTION = Ejection(consecutive_failures=3, base_ejection_s=2.0, max_ejected_share=0.5)


def records(*given: tuple[float, int, int]) -> Any:
    """Finished requests, by when they ended, backend and status."""
    log = np.zeros(len(given), LOG)
    for row, (ended_s, backend, status) in zip(log, given, strict=True):
        row["arrived_s"], row["total_s"] = ended_s - 0.125, 0.125
        row["backend"], row["status"], row["outcome"] = backend, status, Outcome.COMPLETE
    return log


def test_failures_in_a_row_eject_for_a_time() -> None:
    of = Checked(4, None, EJECTION)
    of.checks.take_records(records((1.0, 2, 500), (1.1, 2, 500), (1.2, 2, 200), (1.3, 2, 500), (1.4, 2, 500)), 1.5)
    assert of.bars() == []
    of.checks.take_records(records((1.6, 0, 200), (1.7, 2, 503)), 1.75)
    assert list(of.checks.eligible) == [True, True, False, True]
    assert "3 failed requests in a row" in of.checks.bars[0].reason
    of.checks.take_records(records(), 3.70)
    assert not of.checks.eligible[2]
    of.checks.take_records(records(), 3.75)
    assert list(of.checks.eligible) == [True] * 4
    assert of.bars() == [(1.75, 2, False), (3.75, 2, True)]
    assert of.changed == 2


def test_no_more_are_ejected_than_may_be() -> None:
    of = Checked(4, None, EJECTION)
    of.checks.take_records(records(*((1.0, backend, 500) for backend in range(4) for _ in range(3))), 1.0)
    assert int(of.checks.eligible.sum()) == 2


def test_one_who_is_barred_twice_comes_back_when_both_are_over() -> None:
    of = Checked(2, CHECK, EJECTION)
    of.conditions[0] = Condition(crashed=True)
    of.until(2.0)
    of.checks.take_records(records(*[(1.9, 0, 500)] * 3), 2.0)
    assert of.until(3.0) == [False, True]
    of.checks.take_records(records(), 4.0)
    assert of.until(4.0) == [False, True]
    of.conditions[0] = WELL
    assert of.until(6.0) == [True, True]


# Telemetry


def state_with(ended_s: list[float]) -> State:
    state = make_state([Server(1, 1.0, 0.0, 1, 0.0, (1.0,))], 1, True, 1.0, False, False, 0, attempts=len(ended_s) + 1)
    state.log[:] = np.zeros(len(state.log), LOG)
    for at, end_s in enumerate(ended_s):
        state.log[at]["request"] = at
        state.log[at]["arrived_s"], state.log[at]["queued_s"], state.log[at]["total_s"] = end_s - 0.75, 0.25, 0.5
    return state


def logged(state: State, count: int) -> State:
    state.clock["logged"] = count
    return state


def test_a_record_is_read_once_and_not_before_its_age() -> None:
    state = logged(state_with([1.0, 2.0, 2.0, 3.0]), 4)
    reader = Reader(0.5)
    assert reader.read(state, 1.49)["request"].tolist() == []
    assert reader.read(state, 1.5)["request"].tolist() == [0]
    assert reader.read(state, 2.0)["request"].tolist() == []
    assert reader.read(state, 2.5)["request"].tolist() == [1, 2]
    assert reader.read(state, 9.0)["request"].tolist() == [3]
    assert reader.read(state, 9.0)["request"].tolist() == []


def test_what_is_not_logged_yet_is_not_read() -> None:
    state = state_with([1.0, 1.0, 1.0])
    reader = Reader(0.0)
    assert reader.read(logged(state, 0), 5.0)["request"].tolist() == []
    assert reader.read(logged(state, 2), 5.0)["request"].tolist() == [0, 1]
    assert reader.read(logged(state, 3), 5.0)["request"].tolist() == [2]


def test_readers_do_not_disturb_each_other() -> None:
    state = logged(state_with([1.0, 2.0]), 2)
    one, other = Reader(0.0), Reader(1.0)
    assert len(one.read(state, 2.0)) == 2
    assert len(other.read(state, 2.0)) == 1
    assert len(other.read(state, 3.0)) == 1


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 40), max_size=30).map(sorted), st.lists(st.integers(0, 50), max_size=10).map(sorted))
def test_whatever_the_looks_all_comes_once_in_order(ended: list[int], looks: list[int]) -> None:
    state = state_with([at / 4 for at in ended])
    reader = Reader(0.5)
    came: list[int] = []
    for look in [*looks, 50]:
        now_s = look / 4
        logged(state, sum(at <= look for at in ended))
        came += reader.read(state, now_s)["request"].tolist()
        assert len(came) == sum(at / 4 <= now_s - 0.5 for at in ended)
    assert came == list(range(len(ended)))


# Random streams


@pytest.mark.parametrize(
    ("seed", "name", "first"),
    [
        (0, "arrivals", [0.8632685306420923, 0.46725008682847047, 0.3399235283292704]),
        (0, "policy", [0.3678797542847715, 0.6015650781463011, 0.29192919846693555]),
        (7, "arrivals", [0.5016750168975322, 0.8610343966214052, 0.046703872143705305]),
    ],
)
def test_draws_are_as_they_always_were(seed: int, name: str, first: list[float]) -> None:
    """Results that were published can be had again; numpy keeps what its generators give."""
    assert streams(seed)(name).random(3).tolist() == pytest.approx(first, rel=1e-12)


def test_a_stream_begins_anew_each_time_it_is_asked_for() -> None:
    stream = streams(3)
    assert stream("a").random(5).tolist() == stream("a").random(5).tolist()


def test_no_two_streams_are_alike() -> None:
    names = ["arrivals", "classes", "clients", "urls", "fail", "tail", "router", "policy", "health", "fleet", "fault 0"]
    names += ["fault 1", "work.a", "work.b", "trace", "ticks", "noise"]
    first = {float(streams(seed)(name).random()) for seed in range(50) for name in names}
    assert len(first) == 50 * len(names)


def test_streams_are_independent() -> None:
    draws = np.array([streams(seed)(name).random(4000) for seed in (0, 1) for name in ("a", "b", "c")])
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(6)).max() < 5.0 / np.sqrt(4000)
    assert np.abs(draws.mean(axis=1) - 0.5).max() < 5.0 * np.sqrt(1 / 12 / 4000)
