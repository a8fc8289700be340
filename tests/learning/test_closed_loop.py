"""The learner and the policies in charge of a simulated fleet, against the rules that do not learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from simulator.api import Run, run
from simulator.result import failed, latency_s

MEAN_MS = 20.0
EQUAL = [{"name": "server", "count": 8, "cores": 2}]
MIXED = [
    {"name": f"server-{at}", "cores": cores, "speed": speed}
    for at, (cores, speed) in enumerate(
        ((2, 0.5), (8, 0.5), (4, 1.0), (2, 2.0), (4, 0.7), (8, 1.0), (2, 1.0), (4, 2.0)), start=1
    )
]
AT_80 = {"utilisation": 0.8}


def simulated(
    fleet: Sequence[dict[str, Any]],
    load: dict[str, float],
    duration_s: float,
    policy: str = "learned",
    seed: int = 1,
    classes: Sequence[str] = ("request",),
    faults: Sequence[dict[str, Any]] = (),
    round_trip_s: float = 0.0,
    exploration_floor: float = 0.02,
) -> Run:
    """Poisson arrivals, exponential work; only the policy is there to help: no checks, no ejection, no limits.

    The fleet has no network between unless told, and the learner hears of what ended at once.
    """
    scenario = {
        "description": "the loop is closed",
        "duration_s": duration_s,
        "warmup_s": 0.0,
        "workload": {
            "classes": [{"name": name, "work": {"kind": "exponential", "mean_ms": MEAN_MS}} for name in classes]
        },
        "load": load,
        "fleet": [{"queue": 10_000_000, "round_trip_s": round_trip_s, **group} for group in fleet],
        "faults": list(faults),
        "routers": {"telemetry_delay_s": 0.0},
        "timeout_s": 3600.0,
        "health_check": None,
        "ejection": None,
        "learner": {"exploration_floor": exploration_floor},
    }
    return run(scenario, policy, seed)


def share(of: Run, backend: int, start_s: float, end_s: float) -> float:
    """A backend's share of the requests that arrived in a time."""
    arrived = of.log["arrived_s"]
    during = (arrived >= start_s) & (arrived < end_s)
    return float((of.log["backend"][during] == backend).mean())


def successes_s(of: Run) -> Any:
    """Latencies of the requests that did not fail."""
    return latency_s(of.log[~failed(of.log)])


def p99_s(of: Run) -> float:
    return float(np.percentile(successes_s(of), 99))


@pytest.fixture(scope="module")
def mixed() -> dict[str, Run]:
    return {policy: simulated(MIXED, AT_80, 18.5, policy) for policy in ("learned", "round_robin", "least_connections")}


def test_mixed_servers_get_traffic_by_capacity(mixed: dict[str, Run]) -> None:
    learned = mixed["learned"]
    shares = np.array([share(learned, at, 3.0, 60.0) for at in range(len(MIXED))])
    fair = learned.capacity / learned.capacity.sum()
    assert abs(shares - fair).sum() / 2.0 < 0.15
    assert (shares / fair).max() < 1.4


def test_mixed_servers_have_a_shorter_tail_than_without_learning(mixed: dict[str, Run]) -> None:
    assert p99_s(mixed["learned"]) < 0.85 * p99_s(mixed["least_connections"])
    assert p99_s(mixed["learned"]) < 0.1 * p99_s(mixed["round_robin"])


def test_each_class_finds_its_fast_backends() -> None:
    classes = ("images", "search", "reports")
    thirds = [
        {"name": f"for-{name}", "count": 3, "cores": 2, "speed": 0.25, "class_speed": {name: 1.0}} for name in classes
    ]
    of = simulated(thirds, {"utilisation": 0.65}, 31.0, classes=classes)
    late = of.log[of.log["arrived_s"] > 10.0]
    right = late["backend"] // 3 == late["request_class"]
    assert right.mean() > 0.95
    assert float(np.percentile(latency_s(late), 99)) < 8.0 * MEAN_MS / 1e3


def test_equal_servers_lose_little_to_least_connections() -> None:
    learned, least = (
        simulated(EQUAL, {"utilisation": 0.5}, 50.0, policy) for policy in ("learned", "least_connections")
    )
    assert successes_s(learned).mean() < 1.1 * successes_s(least).mean()
    assert p99_s(learned) < 1.1 * p99_s(least)


def test_equal_servers_lose_nothing_to_the_power_of_two_choices_when_busy() -> None:
    learned, two = (simulated(EQUAL, AT_80, 31.0, policy) for policy in ("learned", "power_of_two"))
    assert successes_s(learned).mean() < 1.12 * successes_s(two).mean()
    assert p99_s(learned) < 1.12 * p99_s(two)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slow_down_is_noticed_and_forgiven(seed: int) -> None:
    slow = {"kind": "slow", "backends": ["server-8"], "factor": 4, "starts_s": 15.0, "ends_s": 25.0}
    of = simulated(EQUAL, {"rate": 560.0}, 33.0, seed=seed, faults=[slow])
    assert share(of, 7, 5.0, 15.0) == pytest.approx(1 / 8, rel=0.25)
    assert share(of, 7, 16.5, 25.0) < 0.035
    assert share(of, 7, 31.0, 33.0) > 0.06


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_quick_failures_draw_no_traffic_and_are_forgiven(seed: int) -> None:
    fail = {"kind": "fail", "backends": ["server-8"], "starts_s": 15.0, "ends_s": 25.0}
    of = simulated(EQUAL, {"rate": 560.0}, 32.0, seed=seed, faults=[fail], round_trip_s=0.001)
    during = (of.log["arrived_s"] >= 15.0) & (of.log["arrived_s"] < 25.0)
    assert failed(of.log[during]).mean() < 0.015
    assert share(of, 7, 16.0, 25.0) < 0.015
    assert share(of, 7, 30.0, 32.0) > 0.06


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_exploration_a_backend_that_failed_is_never_used_again(seed: int) -> None:
    fail = {"kind": "fail", "backends": ["server-8"], "starts_s": 10.0, "ends_s": 20.0}
    with_it, without = (
        simulated(EQUAL, {"rate": 60.0}, 50.0, seed=seed, faults=[fail], round_trip_s=0.001, exploration_floor=floor)
        for floor in (0.02, 1e-9)
    )
    assert share(without, 7, 3.0, 10.0) > 0.0
    assert share(without, 7, 20.0, 50.0) == 0.0
    assert share(with_it, 7, 10.5, 20.0) < 0.03
    assert share(with_it, 7, 20.0, 50.0) > 0.02


@pytest.mark.parametrize("seed", [1, 2])
def test_steady_load_raises_few_alarms(seed: int) -> None:
    of = simulated(EQUAL, {"rate": 500.0}, 60.0, seed=seed)
    assert of.log["arrived_s"].max() > 55.0
    assert of.drifts <= 2


def test_the_same_seed_gives_the_same_run() -> None:
    four = [{"name": "server", "count": 4, "cores": 2}]
    first, again = (simulated(four, {"rate": 300.0}, 7.0) for _ in range(2))
    assert first.log.tobytes() == again.log.tobytes()
