"""The same seed gives the same run; a different policy meets the same requests."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from simulator.contenders import CONTENDERS
from simulator.result import latency_s
from tests.simulator.scenarios import simulated

BUSY = {
    "workload": {
        "arrivals": {"kind": "bursts", "factor": 2.0, "burst_s": 0.5, "quiet_s": 1.0},
        "classes": [
            {"name": "page", "share": 2.0, "work": {"kind": "lognormal", "mean_ms": 8.0, "sigma": 0.7}},
            {"name": "report", "share": 1.0, "work": {"kind": "exponential", "mean_ms": 20.0}},
        ],
    },
    "load": {"utilisation": 0.7},
    "fleet": [
        {"name": "big", "count": 2, "cores": 4},
        {"name": "small", "cores": 2, "speed": 2.0, "discipline": "sharing"},
    ],
    "faults": [
        {"kind": "slow", "random": 1, "factor": 3, "starts_s": 3.0, "ends_s": 5.0},
        {"kind": "fail", "backends": ["small"], "probability": 0.2, "starts_s": 6.0, "ends_s": 7.0},
        {"kind": "crash", "backends": ["big-1"], "starts_s": 8.0, "ends_s": 8.5},
    ],
    "health_check": {},
    "ejection": {},
}


@pytest.mark.parametrize("policy", CONTENDERS)
def test_the_same_seed_gives_the_same_log(policy: str) -> None:
    first, again = simulated(policy, 3, **BUSY), simulated(policy, 3, **BUSY)
    assert first.log.tobytes() == again.log.tobytes()
    assert first.bars == again.bars
    assert first.weights.tobytes() == again.weights.tobytes()
    other = simulated(policy, 4, **BUSY)
    assert other.log.tobytes() != first.log.tobytes()


PROGRAM = """
import hashlib
from simulator.api import run
from tests.simulator.test_determinism import BUSY
from tests.simulator.scenarios import scenario
print(hashlib.sha256(run(scenario(**BUSY), "learned", 3).log.tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_log() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    here = hashlib.sha256(simulated("learned", 3, **BUSY).log.tobytes()).hexdigest()
    assert done.stdout.strip() == here


def test_a_different_policy_meets_the_same_requests() -> None:
    runs = [simulated(policy, 3, **BUSY) for policy in ("round_robin", "learned", "peak_ewma")]
    seen = []
    for of in runs:
        last = of.log[of.log["last"] == 1]
        last = last[np.argsort(last["request"])]
        seen.append((last["request"].tobytes(), last["arrived_s"].tobytes(), last["request_class"].tobytes()))
    assert seen[0] == seen[1] == seen[2]


def test_every_request_ends_exactly_once() -> None:
    of = simulated("learned", 3, **BUSY)
    last = of.log[of.log["last"] == 1]
    assert sorted(last["request"].tolist()) == list(range(len(last)))


def test_requests_in_flight_are_counted_by_little() -> None:
    """What is in flight over time, counted from arrivals and ends, is the rate times the mean latency."""
    of = simulated("power_of_two", 3, **BUSY)
    last = of.log[of.log["last"] == 1]
    arrived_s = last["arrived_s"]
    ended_s = arrived_s + latency_s(last)
    times = np.concatenate([arrived_s, ended_s])
    steps = np.concatenate([np.ones(len(last)), -np.ones(len(last))])
    order = np.argsort(times, kind="stable")
    in_flight = np.cumsum(steps[order])[:-1]
    over_s = np.diff(times[order])
    assert float(in_flight @ over_s) == pytest.approx(latency_s(last).sum(), rel=1e-9)


def test_the_log_of_a_few_requests_is_as_it_always_was() -> None:
    """By hand: one request a 100 ms to two backends in turn, 30 ms each; the second is at half speed from 0.35 s on."""
    of = simulated(
        "round_robin",
        duration_s=0.55,
        load={"rate": 10.0},
        workload={
            "arrivals": {"kind": "even"},
            "classes": [{"name": "request", "work": {"kind": "constant", "mean_ms": 30.0}}],
        },
        faults=[{"kind": "slow", "backends": ["server-2"], "factor": 2, "starts_s": 0.35}],
    )
    lines = [
        f"{row['request']} {row['arrived_s']:.2f} server-{row['backend'] + 1} {row['total_s']:.2f} {row['status']}"
        for row in of.log
    ]
    assert lines == GOLDEN


GOLDEN = [
    "0 0.10 server-1 0.03 200",
    "1 0.20 server-2 0.03 200",
    "2 0.30 server-1 0.03 200",
    "3 0.40 server-2 0.06 200",
    "4 0.50 server-1 0.03 200",
]
