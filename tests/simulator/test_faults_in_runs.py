"""What faults do to requests, by numbers that can be worked out by hand."""

from typing import Any

import numpy as np
import pytest

from simulator.result import Run, failed, latency_s
from smartlb.core.outcome import Outcome
from tests.simulator.scenarios import simulated

ONE = [{"name": "server", "round_trip_s": 0.0}]


def during(of: Run, starts_s: float, ends_s: float, last: bool = True) -> Any:
    log = of.log
    return log[(log["arrived_s"] >= starts_s) & (log["arrived_s"] < ends_s) & ((log["last"] == 1) | (not last))]


def test_without_faults_nothing_but_work_and_network_takes_time() -> None:
    of = simulated(fleet=[{"name": "server", "count": 2, "speed": 2.0, "round_trip_s": 0.003}])
    assert latency_s(of.log) == pytest.approx(0.008, abs=1e-6)
    assert len(of.log) == 499
    assert not failed(of.log).any()


def test_slow_slows_what_is_under_way_too() -> None:
    of = simulated(
        fleet=ONE,
        load={"rate": 1.0},
        workload={
            "arrivals": {"kind": "even"},
            "classes": [{"name": "long", "work": {"kind": "constant", "mean_ms": 800.0}}],
        },
        faults=[{"kind": "slow", "backends": ["server"], "factor": 2, "starts_s": 4.5, "ends_s": 4.7}],
    )
    long = latency_s(of.log)
    # The one that the spell falls into loses half of its 0.2 s.
    assert sorted(np.round(long, 6))[-1] == pytest.approx(0.9)
    assert np.sum(np.round(long, 6) > 0.8) == 1


def test_pause_holds_everything_and_loses_nothing() -> None:
    of = simulated(fleet=ONE, faults=[{"kind": "pause", "backends": ["server"], "pause_s": 0.5, "starts_s": 5.0}])
    assert not failed(of.log).any()
    assert latency_s(of.log).max() == pytest.approx(0.51, abs=0.02)
    assert latency_s(during(of, 8.0, 10.0)) == pytest.approx(0.01, abs=1e-6)


def test_crash_resets_what_is_under_way_and_refuses_what_comes() -> None:
    of = simulated(
        fleet=[{"name": "server", "round_trip_s": 0.001}],
        load={"rate": 90.0},
        faults=[{"kind": "crash", "backends": ["server"], "starts_s": 4.005, "ends_s": 6.0}],
    )
    outcomes = during(of, 4.02, 5.99)["outcome"]
    assert set(outcomes.tolist()) == {Outcome.CONNECT_FAILED}
    assert latency_s(during(of, 4.02, 5.99)) == pytest.approx(0.001, abs=1e-6)
    assert np.sum(of.log["outcome"] == Outcome.RESET) >= 1
    assert not failed(during(of, 6.01, 10.0)).any()


def test_a_refused_request_is_sent_to_another_backend_once() -> None:
    of = simulated(
        fleet=[{"name": "server", "count": 2, "round_trip_s": 0.001}],
        faults=[{"kind": "crash", "backends": ["server-1"], "starts_s": 2.0, "ends_s": 8.0}],
    )
    attempts = during(of, 2.1, 7.9, last=False)
    again = attempts[attempts["attempt"] == 2]
    first = attempts[attempts["attempt"] == 1]
    assert not failed(during(of, 2.1, 7.9)).any()
    assert len(again) > 50
    assert set(again["backend"].tolist()) == {1}
    assert set(first[first["last"] == 0]["outcome"].tolist()) == {Outcome.CONNECT_FAILED}
    assert set(again["request"]) == set(first[first["last"] == 0]["request"])
    # The second attempt began when the first was refused.
    assert again["queued_s"] == pytest.approx(0.001, abs=1e-6)


def test_hang_ends_by_the_timeout_and_the_requests_are_lost() -> None:
    of = simulated(
        timeout_s=1.5, fleet=ONE, faults=[{"kind": "hang", "backends": ["server"], "starts_s": 3.0, "ends_s": 4.0}]
    )
    lost = during(of, 3.0, 4.0)
    assert len(lost) == 50
    assert set(lost["outcome"].tolist()) == {Outcome.RESPONSE_TIMEOUT}
    assert set(lost["status"].tolist()) == {504}
    assert latency_s(lost) == pytest.approx(1.5, abs=1e-6)
    assert np.isnan(lost["first_byte_s"]).all()
    assert not failed(during(of, 4.01, 10.0)).any()


def test_fail_answers_at_once_at_its_rate() -> None:
    of = simulated(
        duration_s=100.0,
        fleet=[{"name": "server", "round_trip_s": 0.002}],
        faults=[{"kind": "fail", "backends": ["server"], "probability": 0.25}],
    )
    bad = of.log[failed(of.log)]
    assert len(bad) / len(of.log) == pytest.approx(0.25, abs=0.02)
    assert set(bad["status"].tolist()) == {500}
    assert latency_s(bad) == pytest.approx(0.002, abs=1e-6)


def test_tail_makes_its_share_of_requests_slow() -> None:
    of = simulated(
        duration_s=200.0,
        fleet=[{"name": "server", "cores": 10, "round_trip_s": 0.0}],
        faults=[{"kind": "tail", "backends": ["server"], "probability": 0.1, "factor": 7}],
    )
    taken = np.round(latency_s(of.log), 6)
    assert set(taken.tolist()) == {0.01, 0.07}
    assert np.mean(taken == 0.07) == pytest.approx(0.1, abs=0.01)


def test_away_gets_nothing_and_finishes_what_it_has() -> None:
    of = simulated(faults=[{"kind": "away", "backends": ["server-2"], "starts_s": 2.0, "ends_s": 6.0}])
    assert set(during(of, 2.0, 6.0)["backend"].tolist()) == {0}
    assert set(during(of, 6.0, 10.0)["backend"].tolist()) == {0, 1}
    assert not failed(of.log).any()


def test_nobody_left_is_an_answer_too() -> None:
    of = simulated(faults=[{"kind": "away", "backends": ["server"], "starts_s": 2.0, "ends_s": 6.0}])
    gone = during(of, 2.0, 6.0)
    assert set(gone["outcome"].tolist()) == {Outcome.NO_BACKEND}
    assert set(gone["status"].tolist()) == {503}
    assert latency_s(gone) == pytest.approx(0.0)


def test_cold_start_joins_slow_and_warms_up() -> None:
    of = simulated(
        faults=[{"kind": "cold_start", "backends": ["server-2"], "first_speed": 0.1, "warms_up_s": 4, "starts_s": 2.0}]
    )
    second = of.log[of.log["backend"] == 1]
    assert second["arrived_s"].min() >= 2.0
    early, late = second[second["arrived_s"] < 2.3], second[second["arrived_s"] > 6.1]
    assert latency_s(early).mean() > 0.07
    assert latency_s(late) == pytest.approx(0.01, abs=1e-6)


def test_leak_slows_and_a_restart_heals() -> None:
    of = simulated(
        faults=[
            {"kind": "leak", "backends": ["server-2"], "factor": 4, "starts_s": 0.0, "ends_s": 6.0, "restart_s": 1.0}
        ]
    )
    second = of.log[(of.log["backend"] == 1) & (of.log["outcome"] == Outcome.COMPLETE)]
    at_s = second["arrived_s"]
    early, late, healed = at_s < 0.5, (at_s > 5.5) & (at_s < 5.9), at_s > 7.1
    assert latency_s(second[early]).mean() == pytest.approx(0.0106, abs=0.0006)
    assert latency_s(second[late]).mean() > 0.034
    assert latency_s(second[healed]) == pytest.approx(0.01, abs=1e-6)


def test_antagonist_moves() -> None:
    of = simulated(
        duration_s=40.0,
        warmup_s=0.0,
        fleet=[{"name": "server", "count": 4, "round_trip_s": 0.0}],
        faults=[
            {
                "kind": "antagonist",
                "backends": ["server"],
                "factor": 5,
                "moves_every_s": 2.0,
                "starts_s": 0,
                "ends_s": 40,
            }
        ],
    )
    slow = of.log[latency_s(of.log) > 0.03]
    assert len(slow) / len(of.log) == pytest.approx(0.25, abs=0.05)
    assert len(set(slow["backend"].tolist())) == 4


def test_faults_at_one_time_add_up() -> None:
    of = simulated(
        fleet=ONE,
        load={"rate": 5.0},
        faults=[
            {"kind": "slow", "backends": ["server"], "factor": 2, "starts_s": 2.0, "ends_s": 8.0},
            {"kind": "slow", "backends": ["server"], "factor": 3, "starts_s": 4.0, "ends_s": 6.0},
        ],
    )
    assert latency_s(during(of, 0.0, 1.9)) == pytest.approx(0.01, abs=1e-6)
    assert latency_s(during(of, 2.1, 3.9)) == pytest.approx(0.02, abs=1e-6)
    assert latency_s(during(of, 4.1, 5.9)) == pytest.approx(0.06, abs=1e-6)
    assert latency_s(during(of, 6.1, 7.9)) == pytest.approx(0.02, abs=1e-6)


def test_a_full_queue_answers_503() -> None:
    of = simulated(fleet=[{"name": "server", "queue": 1, "round_trip_s": 0.0}], load={"rate": 250.0})
    statuses, counts = np.unique(of.log["status"], return_counts=True)
    assert statuses.tolist() == [200, 503]
    # One served and one waiting: it serves 100 of 250 a second.
    assert counts[0] / counts.sum() == pytest.approx(0.4, abs=0.01)


def test_a_batch_slows_all_in_it() -> None:
    of = simulated(
        load={"rate": 1000.0},
        duration_s=0.0101,
        fleet=[{"name": "gpu", "discipline": "batching", "batch": 10, "batch_growth": 0.1, "round_trip_s": 0.0}],
        workload={
            "arrivals": {"kind": "even"},
            "classes": [{"name": "request", "work": {"kind": "constant", "mean_ms": 1000.0}}],
        },
    )
    # Ten within 10 ms go on at 1 / 1.9 of their speed.
    assert len(of.log) == 10
    assert latency_s(of.log) == pytest.approx(1.9, abs=0.02)


def test_tokens_give_a_first_byte_before_the_end() -> None:
    tokens = {"kind": "constant", "mean_tokens": 100.0}
    of = simulated(
        load={"rate": 1.0},
        fleet=[{"name": "gpu", "discipline": "batching", "batch": 4, "batch_growth": 0.0, "round_trip_s": 0.01}],
        workload={
            "arrivals": {"kind": "even"},
            "classes": [
                {
                    "name": "chat",
                    "tokens": {"input": tokens, "output": tokens},
                    "cost": {"base_ms": 20.0, "per_input_token_ms": 1.0, "per_output_token_ms": 5.0},
                }
            ],
        },
    )
    assert of.log["first_byte_s"] == pytest.approx(0.13, abs=1e-6)
    assert of.log["total_s"] == pytest.approx(0.63, abs=1e-6)


def test_a_health_check_takes_out_a_backend_that_crashed() -> None:
    of = simulated(
        duration_s=20.0,
        health_check={"interval_s": 1.0, "fall": 2, "rise": 2, "timeout_s": 0.5},
        faults=[{"kind": "crash", "backends": ["server-1"], "starts_s": 4.0, "ends_s": 12.0}],
    )
    bars = [(bar.backend, bar.eligible) for bar in of.bars]
    assert bars == [(0, False), (0, True)]
    out_s, back_s = (bar.at_s for bar in of.bars)
    assert 5.0 <= out_s <= 6.0
    assert 13.0 <= back_s <= 14.0
    assert not (during(of, out_s, back_s, last=False)["backend"] == 0).any()


def test_ejection_takes_out_a_backend_that_fails() -> None:
    of = simulated(
        ejection={"base_ejection_s": 3.0},
        faults=[{"kind": "fail", "backends": ["server-1"], "starts_s": 2.0, "ends_s": 3.0}],
    )
    assert [(bar.backend, bar.eligible) for bar in of.bars] == [(0, False), (0, True)]
    assert of.bars[1].at_s - of.bars[0].at_s == pytest.approx(3.0, abs=0.06)
    assert failed(of.log).sum() <= 8


def test_routers_see_only_their_own_requests_unless_they_share() -> None:
    given: dict[str, Any] = {
        "duration_s": 60.0,
        "load": {"rate": 140.0},
        "workload": {
            "classes": [{"name": "request", "work": {"kind": "exponential", "mean_ms": 10.0}}],
        },
    }
    alone = simulated("least_connections", **given, routers={"count": 10, "share_in_flight": False})
    together = simulated("least_connections", **given, routers={"count": 10, "share_in_flight": True})
    one = simulated("least_connections", **given)
    assert set(alone.log["router"].tolist()) == set(range(10))
    assert latency_s(alone.log).mean() > 1.15 * latency_s(together.log).mean()
    assert latency_s(together.log).mean() == pytest.approx(latency_s(one.log).mean())
