from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.measures.recovery import Recovery, recoveries, seconds_until_back, worst
from simulator.result import Trouble
from tests.simulator.measures.made import made_log, made_run

arrivals_s = np.arange(0.0, 60.0, 0.01)


def slow_between(*spans: tuple[float, float], share: float = 0.1, latency: float = 1.0) -> Any:
    """10 ms, and `latency` for a share of the requests that arrive within the spans."""
    found = np.full(len(arrivals_s), 0.01)
    for starts_s, ends_s in spans:
        within = np.flatnonzero((arrivals_s >= starts_s) & (arrivals_s < ends_s))
        found[within[:: round(1 / share)]] = latency
    return found


def back(latency: Any, starts_s: float = 20.0, until_s: float = 60.0, **options: Any) -> float | None:
    return seconds_until_back(arrivals_s, latency, 0.02, starts_s, until_s, 60.0, **options)


def test_latency_that_never_left_takes_no_time() -> None:
    assert back(slow_between()) == 0.0


def test_it_is_back_when_the_last_slow_requests_have_arrived() -> None:
    assert back(slow_between((20.0, 27.0))) == pytest.approx(7.0, abs=0.2)


def test_a_late_onset_counts_from_the_start_of_the_trouble() -> None:
    assert back(slow_between((25.0, 27.0))) == pytest.approx(7.0, abs=0.2)


def test_it_has_to_stay() -> None:
    twice = slow_between((20.0, 22.0), (25.0, 27.0))

    assert back(twice) == pytest.approx(7.0, abs=0.2)
    assert back(twice, hold_s=2.0) == pytest.approx(2.0, abs=0.2)


def test_an_excursion_after_it_was_back_for_good_does_not_count() -> None:
    assert back(slow_between((20.0, 22.0), (40.0, 50.0))) == pytest.approx(2.0, abs=0.2)


def test_one_percent_may_be_slower() -> None:
    assert back(slow_between((20.0, 60.0), share=0.01)) == 0.0
    assert back(slow_between((20.0, 60.0), share=0.02)) is None


def test_failures_are_slow() -> None:
    assert back(slow_between((20.0, 23.0), latency=inf)) == pytest.approx(3.0, abs=0.2)


def test_it_was_never_back_by_the_end() -> None:
    assert back(slow_between((20.0, 60.0))) is None
    assert back(slow_between((20.0, 57.0))) is None  # three seconds are not for good


def test_what_only_begins_after_something_else_did_is_not_its_doing() -> None:
    assert back(slow_between((31.0, 35.0)), until_s=30.0) == 0.0
    assert back(slow_between((29.0, 35.0)), until_s=30.0) == pytest.approx(15.0, abs=0.2)


def test_the_first_window_counts_however_short_the_trouble() -> None:
    assert back(slow_between((20.0, 20.3)), until_s=20.3) == pytest.approx(0.3, abs=0.2)


def test_nothing_fits_before_the_end() -> None:
    assert back(slow_between(), starts_s=59.5) is None


def test_quiet_times_are_well() -> None:
    assert seconds_until_back(np.array([1.0, 50.0]), np.full(2, 0.01), 0.02, 20.0, 60.0, 60.0) == 0.0


@given(st.integers(0, 2**32), st.floats(0.0, 50.0), st.floats(0.001, 0.1))
def test_a_recovery_lies_within_the_run_and_nothing_leaves_the_widest_bound(
    seed: int, starts_s: float, bound_s: float
) -> None:
    rng = np.random.default_rng(seed)
    arrived, latency = np.sort(rng.uniform(0.0, 60.0, 600)), rng.uniform(0.0, 0.1, 600)
    narrow = seconds_until_back(arrived, latency, bound_s, starts_s, inf, 60.0)

    assert narrow is None or 0.0 <= narrow <= 60.0 - starts_s
    assert seconds_until_back(arrived, latency, 0.1, starts_s, inf, 60.0) == 0.0


def of(latency: Any, *troubles: Trouble, **changes: Any) -> list[Recovery]:
    log = made_log(arrivals_s, np.where(np.isinf(latency), 0.01, latency), status=np.where(np.isinf(latency), 503, 200))
    return recoveries(made_run(log, duration_s=60.0, rate=500.0, troubles=list(troubles), **changes))


def test_a_trouble_and_its_end() -> None:
    (found,) = of(slow_between((20.0, 24.0), (30.0, 33.0), latency=inf), Trouble("slow a", 20.0, 30.0))

    assert (found.name, found.starts_s, found.ends_s) == ("slow a", 20.0, 30.0)
    assert found.before_ms == pytest.approx(10.0, rel=1e-6)
    assert found.recovery_s == pytest.approx(4.0, abs=0.2)
    assert found.return_s == pytest.approx(3.0, abs=0.2)


def test_a_trouble_without_end_has_no_return() -> None:
    (found,) = of(slow_between((20.0, 24.0)), Trouble("slow a", 20.0, inf))

    assert (found.ends_s, found.return_s) == (None, None)
    assert found.recovery_s == pytest.approx(4.0, abs=0.2)


def test_what_there_was_nothing_before_cannot_be_compared() -> None:
    (found,) = of(slow_between(), Trouble("slow a", 5.0, 30.0), warmup_s=10.0)

    assert (found.before_ms, found.recovery_s, found.return_s) == (None, None, None)


def test_before_a_trouble_is_outside_of_earlier_ones() -> None:
    first, second = of(slow_between((10.0, 20.0)), Trouble("slow a", 10.0, 20.0), Trouble("slow b", 30.0, 40.0))

    assert first.before_ms == second.before_ms == pytest.approx(10.0, rel=1e-6)
    assert second.recovery_s == 0.0


def test_a_run_without_troubles_has_no_recoveries() -> None:
    assert of(slow_between()) == []


def test_the_worst_of_several() -> None:
    def each(recovery_s: float | None) -> Recovery:
        return Recovery("slow a", 0.0, None, 1.0, recovery_s, None)

    assert worst([each(1.0), each(3.0)]) == 3.0
    assert worst([each(1.0), each(None)]) is None
    assert worst([]) is None
