import json
import pickle
from dataclasses import asdict
from math import inf

import numpy as np
import pytest

from simulator.faults.condition import Change, Condition
from simulator.measures.curves import curves, distribution
from simulator.measures.lanes import LANES, lanes
from simulator.result import Bar, Trouble
from smartlb.core.record import NO_BACKEND
from tests.simulator.measures.made import busy_run, made_log, made_run


def test_bins_hold_every_request() -> None:
    run = busy_run()
    found = curves(run)

    assert sum(found.requests) == 4000
    assert sum(found.errors) == 8
    assert len(found.edges_s) == len(found.requests) + 1 == len(found.p99_ms) + 1
    assert np.sum(found.shares, axis=0) == pytest.approx(1.0)


def test_bins_by_hand() -> None:
    arrived = np.repeat(np.arange(12) + 0.5, 2)
    latency = np.where(arrived < 6.0, 0.01, 0.04)
    log = made_log(arrived, latency, backend=np.tile([0, 1], 12), status=[503] + [200] * 23)
    found = curves(made_run(log, duration_s=12.0))

    assert found.edges_s == pytest.approx(list(range(13)))
    assert found.requests == [2] * 12
    assert found.errors == [1] + [0] * 11
    assert found.p50_ms == pytest.approx([10.0] * 6 + [40.0] * 6, rel=1e-6)
    assert found.shares == [[0.5] * 12, [0.5] * 12]
    assert found.weights == []


def test_weights_are_those_at_the_end_of_each_bin() -> None:
    run = made_run(
        made_log(np.arange(12.0), 0.01),
        duration_s=12.0,
        weights_s=np.array([1.5, 5.5]),
        weights=np.array([[0.3, 0.7], [0.6, 0.4]]),
    )
    found = curves(run)

    assert found.weights[0] == [None, *[0.3] * 4, *[0.6] * 7]
    assert found.weights[1] == [None, *[0.7] * 4, *[0.4] * 7]


def test_the_distribution_has_failures_beyond_all_latencies() -> None:
    shares, latency_ms = distribution(made_log(np.arange(1000.0), 0.01, status=[503] * 100 + [200] * 900))

    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert all((ms is None) == (share < 0.1 - 1e-9) for share, ms in zip(shares, latency_ms, strict=True))


def test_the_distribution_of_nothing_is_empty() -> None:
    assert distribution(made_log([], [])) == ([], [])


def test_they_are_small_json_and_can_be_sent_between_processes() -> None:
    backends = [f"server-{number}" for number in range(1000)]
    found = curves(
        busy_run(
            backends=backends,
            capacity=np.ones(1000),
            troubles=[Trouble("slow server-0", 5.0, inf)],
            changes=[Change(5.0, 0, Condition(speed=0.5))],
            bars=[Bar(float(at), 3, at % 2 == 1, "ejected") for at in range(150)],
        )
    )
    data = asdict(found)

    assert len(json.dumps(data, allow_nan=False)) < 200_000
    assert json.loads(json.dumps(data)) == data
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.lanes == ["server-0", "server … ×999"]
    assert found.troubled == [True, False]
    assert found.troubles[0].ends_s is None
    assert (len(found.events), found.more_events, found.events[0].backend) == (100, 50, "server-3")


def test_who_never_reached_a_backend_has_no_share() -> None:
    found = curves(made_run(made_log(np.arange(10.0), 0.01, backend=NO_BACKEND, status=503)))

    assert not np.any(found.shares)
    assert found.p99_ms == [None] * 12


def test_few_backends_have_a_lane_each() -> None:
    found = lanes(["a", "b", "c"], [1])

    assert (found.names, found.of.tolist(), found.size) == (["a", "b", "c"], [0, 1, 2], [1, 1, 1])


def test_many_backends_share_lanes_by_group() -> None:
    names = [f"fast-{number}" for number in range(1, 11)] + [f"slow-{number}" for number in range(1, 11)]
    found = lanes(names, [12, 12])

    assert found.names == ["fast … ×10", "slow … ×9", "slow-3"]
    assert found.size == [10, 9, 1]


def test_there_are_never_more_lanes_than_can_be_told_apart() -> None:
    names = [f"{letter}{letter}-{number}" for letter in "abcdefghijklmnopqrstuvwxyz" for number in (1, 2)]
    found = lanes(names, list(range(10)))

    assert len(found.names) <= LANES
    assert sum(found.size) == len(names)
    assert len(set(found.names)) == len(found.names)
