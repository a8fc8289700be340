import json
from dataclasses import asdict

import numpy as np
import pytest

from simulator.measures.figures import errors_by, figures
from simulator.result import Bar, Trouble
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from tests.simulator.measures.made import busy_run, made_log, made_run


def test_figures_by_hand() -> None:
    # Four requests that count, one of them retried, one of them failed; one before the warm-up is over.
    log = made_log(
        [0.5, 2.0, 3.0, 4.0, 4.0, 5.0],
        [9.0, 0.010, 0.030, 0.001, 0.020, 0.5],
        request=[0, 1, 2, 3, 3, 4],
        backend=[0, 0, 0, 1, 0, 1],
        status=[200, 200, 200, 502, 200, 500],
        outcome=[0, 0, 0, Outcome.RESET, 0, 0],
        attempt=[1, 1, 1, 1, 2, 1],
        last=[1, 1, 1, 0, 1, 1],
    )
    found = figures(
        made_run(
            log,
            warmup_s=1.0,
            capacity=np.array([3.0, 1.0]),
            wall_s=0.5,
            bars=[Bar(1.0, 1, False, "ejected"), Bar(2.0, 1, True, "over")],
        )
    )

    assert found.requests == 4
    assert found.mean_ms == pytest.approx(20.0, rel=1e-6)
    assert found.p50_ms == pytest.approx(20.0, rel=1e-6)
    assert found.errors == 0.25
    assert found.errors_by == {"status 500": 1}
    assert found.attempts == pytest.approx(5 / 4)
    assert found.share == {"a": pytest.approx(3 / 5), "b": pytest.approx(2 / 5)}
    assert found.fairness == pytest.approx(0.5)  # one served 3 with a capacity of 3, the other nothing
    assert found.bars == 1
    assert found.requests_per_wall_s == 10.0
    assert found.speedup is None


def test_percentiles_of_the_run_are_in_order() -> None:
    found = figures(busy_run())

    assert found.p50_ms is not None
    assert found.p90_ms is not None
    assert found.p99_ms is not None
    assert found.p999_ms is not None
    assert found.p50_ms < found.p90_ms < found.p99_ms < found.p999_ms


def test_errors_are_told_apart() -> None:
    log = made_log(
        np.arange(6.0),
        0.1,
        status=[200, 503, 502, 502, 503, 503],
        outcome=[0, 0, Outcome.RESET, Outcome.CONNECT_FAILED, Outcome.NO_BACKEND, 0],
    )

    assert errors_by(log) == {"status 503": 2, "reset": 1, "connect_failed": 1, "no_backend": 1}


def test_full_queues_are_refusals_and_no_backend_is_not() -> None:
    log = made_log(
        np.arange(4.0),
        0.1,
        status=[200, 503, 503, 200],
        outcome=[0, 0, Outcome.NO_BACKEND, 0],
        backend=[0, 1, NO_BACKEND, 1],
    )

    assert figures(made_run(log)).refused == 0.25


def test_a_run_in_which_all_failed_has_errors_and_no_latency() -> None:
    found = figures(made_run(made_log(np.arange(4.0), 0.1, status=503, backend=NO_BACKEND, outcome=Outcome.NO_BACKEND)))

    assert (found.mean_ms, found.p99_ms, found.fairness) == (None, None, None)
    assert found.errors == 1.0
    assert found.share == {"a": 0.0, "b": 0.0}


def test_a_run_without_requests_has_figures() -> None:
    found = figures(made_run(made_log([], []), rate=1.0))

    assert (found.requests, found.mean_ms, found.errors, found.attempts) == (0, None, 0.0, None)


def test_growing_queues_are_noticed() -> None:
    arrived = np.linspace(0.0, 10.0, 2000)

    assert figures(made_run(made_log(arrived, arrived))).grows
    assert not figures(made_run(made_log(arrived, 1.0))).grows


def test_figures_are_json() -> None:
    found = figures(busy_run(troubles=[Trouble("slow a", 5.0, 10.0), Trouble("leak b", 6.0, float("inf"))]))
    data = asdict(found)

    assert json.loads(json.dumps(data, allow_nan=False)) == data
