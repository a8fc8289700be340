"""The same small system in SimPy: the same requests take the same time."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simpy

from simulator.api import run
from simulator.result import latency_s
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.workload import prepare
from tests.simulator.scenarios import scenario

WORK = [
    {"name": "page", "share": 3.0, "work": {"kind": "lognormal", "mean_ms": 10.0, "sigma": 1.0}},
    {"name": "report", "share": 1.0, "work": {"kind": "exponential", "mean_ms": 40.0}},
]
SPEED = {"fast": (2.0, 2.0), "slow": (0.5, 1.0)}
CORES = {"fast": 2, "slow": 5}
TRIP_S = 0.004


def small(**given: Any) -> Scenario:
    return Scenario.model_validate(
        scenario(
            duration_s=60.0,
            load={"utilisation": 0.6},
            workload={"arrivals": {"kind": "bursts"}, "classes": WORK},
            fleet=[
                {"name": "fast", "cores": 2, "speed": 2.0, "round_trip_s": TRIP_S},
                {"name": "slow", "cores": 5, "speed": 1.0, "class_speed": {"page": 0.5}, "round_trip_s": TRIP_S},
            ],
            **given,
        )
    )


def by_simpy(requests: Any) -> np.ndarray[Any, Any]:
    """How long each request takes, going to the two backends in turn."""
    environment = simpy.Environment()
    backends = [simpy.Resource(environment, capacity=cores) for cores in CORES.values()]
    speeds = list(SPEED.values())
    taken_s = np.zeros(len(requests))

    def request(number: int, row: Any) -> Generator[simpy.Event, Any, None]:
        arrived_s = environment.now
        at = number % 2
        with backends[at].request() as turn:
            yield turn
            yield environment.timeout(row["work_s"] / speeds[at][row["request_class"]])
        yield environment.timeout(TRIP_S)
        taken_s[number] = environment.now - arrived_s

    def source() -> Generator[simpy.Event, Any, None]:
        for number, row in enumerate(requests):
            yield environment.timeout(row["at_s"] - environment.now)
            environment.process(request(number, row))

    environment.process(source())
    environment.run()
    return taken_s


def test_every_request_takes_as_long_as_in_simpy() -> None:
    of = small()
    ours = run(of, "round_robin", seed=5)
    demand = prepare(of.workload, Path(), streams(5))
    requests = np.concatenate(list(demand.requests(ours.rate, of.duration_s, streams(5))))
    log = ours.log[np.argsort(ours.log["request"])]
    assert len(log) == len(requests) > 5_000
    assert latency_s(log) == pytest.approx(by_simpy(requests), rel=1e-5)
