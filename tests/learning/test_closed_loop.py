"""The learner and the policies in charge of a simulated fleet, against the rules that do not learn."""

import numpy as np
import pytest

from tests.learning.fleet import Run, Server, simulate

MIXED = [
    Server(cores, (speed,))
    for cores, speed in ((2, 0.5), (8, 0.5), (4, 1.0), (2, 2.0), (4, 0.7), (8, 1.0), (2, 1.0), (4, 2.0))
]
CAPACITY = np.array([server.cores * server.speed[0] for server in MIXED])
MEAN_S = 0.02


@pytest.fixture(scope="module")
def mixed() -> dict[str, Run]:
    rate = 0.8 * CAPACITY.sum() / MEAN_S
    return {
        policy: simulate(MIXED, rate, 25_000, policy=policy)
        for policy in ("learned", "round_robin", "least_connections")
    }


def test_mixed_servers_get_traffic_by_capacity(mixed: dict[str, Run]) -> None:
    shares = np.array([mixed["learned"].share(at, 3.0, 60.0) for at in range(len(MIXED))])
    fair = CAPACITY / CAPACITY.sum()
    assert abs(shares - fair).sum() / 2.0 < 0.15
    assert (shares / fair).max() < 1.4


def test_mixed_servers_have_a_shorter_tail_than_without_learning(mixed: dict[str, Run]) -> None:
    assert mixed["learned"].p99_s() < 0.85 * mixed["least_connections"].p99_s()
    assert mixed["learned"].p99_s() < 0.1 * mixed["round_robin"].p99_s()


def test_each_class_finds_its_fast_backends() -> None:
    thirds = [Server(2, tuple(1.0 if kind == at // 3 else 0.25 for kind in range(3))) for at in range(9)]
    run = simulate(thirds, 0.65 * 18 / MEAN_S, 18_000, mix=(1, 1, 1), mean_s=(MEAN_S,) * 3)
    late = run.records[run.records["arrived_s"] > 10.0]
    right = late["backend"] // 3 == late["request_class"]
    assert right.mean() > 0.95
    assert float(np.percentile(late["total_s"], 99)) < 8.0 * MEAN_S


def test_equal_servers_lose_little_to_least_connections() -> None:
    learned, least = (
        simulate([Server(2)] * 8, 0.5 * 16 / MEAN_S, 20_000, policy=policy)
        for policy in ("learned", "least_connections")
    )
    assert learned.latency_s.mean() < 1.1 * least.latency_s.mean()
    assert learned.p99_s() < 1.1 * least.p99_s()


def test_equal_servers_lose_nothing_to_the_power_of_two_choices_when_busy() -> None:
    learned, two = (
        simulate([Server(2)] * 8, 0.8 * 16 / MEAN_S, 20_000, policy=policy) for policy in ("learned", "power_of_two")
    )
    assert learned.latency_s.mean() < 1.12 * two.latency_s.mean()
    assert learned.p99_s() < 1.12 * two.p99_s()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slow_down_is_noticed_and_forgiven(seed: int) -> None:
    slow = [Server(2)] * 7 + [Server(2, slow=(15.0, 25.0, 4.0))]
    run = simulate(slow, 560, 560 * 33, seed=seed)
    assert run.share(7, 5.0, 15.0) == pytest.approx(1 / 8, rel=0.25)
    assert run.share(7, 16.5, 25.0) < 0.035
    assert run.share(7, 31.0, 33.0) > 0.06


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_quick_failures_draw_no_traffic_and_are_forgiven(seed: int) -> None:
    failing = [Server(2)] * 7 + [Server(2, failing=(15.0, 25.0))]
    run = simulate(failing, 560, 560 * 32, seed=seed)
    during = (run.records["arrived_s"] >= 15.0) & (run.records["arrived_s"] < 25.0)
    assert (~run.ok[during]).mean() < 0.015
    assert run.share(7, 16.0, 25.0) < 0.015
    assert run.share(7, 30.0, 32.0) > 0.06


@pytest.mark.parametrize("seed", [1, 2])
def test_steady_load_raises_few_alarms(seed: int) -> None:
    run = simulate([Server(2)] * 8, 500, 30_000, seed=seed)
    assert run.records["arrived_s"].max() > 55.0
    assert run.snapshots[-1].drifts <= 2


def test_the_same_seed_gives_the_same_run() -> None:
    first, again = (simulate([Server(2)] * 4, 300, 2_000) for _ in range(2))
    assert first.records.tobytes() == again.records.tobytes()
