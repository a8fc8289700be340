import numpy as np
import pytest

from simulator.demo.fleet import AFFINITY, FLEET
from simulator.demo.workload import generated


def test_the_same_seed_gives_the_same_requests() -> None:
    one, again, other = (generated(10.0, 200.0, seed) for seed in (1, 1, 2))
    for part in ("at_s", "request_class", "work"):
        assert getattr(one, part).tolist() == getattr(again, part).tolist()
    assert one.at_s.tolist() != other.at_s.tolist()


def test_requests_are_in_order_and_at_the_rate() -> None:
    workload = generated(60.0, 300.0, 3)
    assert np.all(np.diff(workload.at_s) >= 0)
    assert workload.at_s[0] >= 0
    assert workload.at_s[-1] < 60.0
    # Poisson: five standard deviations of the count.
    assert abs(len(workload.at_s) - 18_000) < 5 * 18_000**0.5
    assert workload.work.mean() == pytest.approx(1.0)


def test_there_are_bursts() -> None:
    counts = np.histogram(generated(60.0, 300.0, 3).at_s, 120)[0]
    # A Poisson stream without bursts has a variance near its mean.
    assert counts.var() > 2 * counts.mean()


@pytest.mark.parametrize("rate", [100.0, 400.0])
def test_work_is_scaled_to_the_load_whatever_the_rate(rate: float) -> None:
    workload = generated(20.0, rate, 1)
    arrivals = workload.arrivals(FLEET, 0.5, 20.0)
    work_s = arrivals["work_ms"] / 1000
    affine = arrivals["request_class"] == workload.classes.index(workload.affine)
    # With all affine work on the specialised servers, which have room for it here.
    core_seconds = work_s[~affine].sum() + work_s[affine].sum() / AFFINITY
    assert core_seconds / 20.0 == pytest.approx(0.5 * sum(server.capacity for server in FLEET))
    assert arrivals["at_s"].tolist() == workload.at_s.tolist()
