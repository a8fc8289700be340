"""Scenarios that are drawn at random: all of them are valid, can be carried, and come out alike each time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run
from simulator.catalogue import load
from simulator.faults.registry import FAULTS
from simulator.generator import BUSIEST, LOAD, MOST_REQUESTS, WORK_S, busiest, generate
from simulator.plan import Plan, overload, plan
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.arrivals.registry import ARRIVALS
from simulator.workload.generated import GeneratedWorkload
from simulator.workload.workload import prepare
from smartlb.config.problems import ConfigError
from tests.simulator.scenarios import scenario


def planned(of: Scenario, seed: int = 0) -> Plan:
    return plan("test", of, prepare(of.workload, Path(), streams(seed)), seed)


@given(number=st.integers(0, 10**12), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_each_can_be_carried(number: int, seed: int) -> None:
    of = generate(number)
    made = planned(of, seed)
    assert overload(made) == ""
    assert LOAD[0] - 0.001 <= made.utilisation <= LOAD[1] + 0.001
    assert made.rate * of.duration_s <= MOST_REQUESTS * 1.01
    assert WORK_S[0] * 0.99 <= made.demand.work_s <= WORK_S[1] * 1.01
    assert 3 <= len(made.fleet) <= 40
    assert all(15.0 <= trouble.starts_s < of.duration_s for trouble in made.troubles)
    assert f"number {number}:" in of.description
    assert of.description.endswith(".")


@pytest.mark.parametrize("number", range(1001, 1013))
def test_at_no_time_is_more_asked_than_can_be_done(number: int) -> None:
    assert busiest(planned(generate(number))) <= BUSIEST + 0.01


def test_the_same_number_is_the_same_scenario_and_another_is_another() -> None:
    assert generate(17) == generate(17)
    assert len({generate(number).model_dump_json() for number in range(20)}) == 20


def test_everything_there_is_gets_drawn() -> None:
    drawn = [generate(number) for number in range(120)]
    assert {fault.kind for of in drawn for fault in of.faults} == FAULTS.keys()
    assert {len(of.fleet) for of in drawn} == {1, 2, 3, 4, 5}
    assert {group.discipline for of in drawn for group in of.fleet} == {"fifo", "sharing", "batching"}
    assert any(group.class_speed for of in drawn for group in of.fleet)
    assert any(of.routers.count > 1 for of in drawn)
    assert {len(of.faults) for of in drawn} == {0, 1, 2, 3}
    workloads = [of.workload for of in drawn if isinstance(of.workload, GeneratedWorkload)]
    assert {of.arrivals.kind for of in workloads} == ARRIVALS.keys()
    assert {len(of.classes) for of in workloads} == {1, 2, 3, 4, 5}


def test_it_is_loaded_by_its_name_and_can_be_changed() -> None:
    assert load("generated-17") == generate(17)
    changed = load("generated-17", {"load.utilisation": "0.3", "fleet.0.cores": "3", "faults": "[]"})
    assert changed.load.utilisation == 0.3
    assert changed.fleet[0].cores == 3
    assert changed.faults == []
    with pytest.raises(ConfigError, match=r"^generated-17: fleet\[0\]\.corse: key 'corse' unknown; did you mean"):
        load("generated-17", {"fleet.0.corse": "3"})


@pytest.mark.parametrize("name", ["generated", "generated-", "generated-x", "generated--1", "generated-1.5"])
def test_what_is_no_number_is_no_scenario(name: str) -> None:
    with pytest.raises(ConfigError, match="generated-N is drawn at random, N being any number"):
        load(name)


def test_it_is_run_by_its_name() -> None:
    of = run("generated-22", "least_connections")
    assert of.scenario == "generated-22"
    assert len(of.requests) > 1000


# How busy a fleet is


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 0.5),
        ({"faults": [{"kind": "slow", "backends": ["server-1"], "factor": 4.0}]}, 0.8),
        ({"faults": [{"kind": "slow", "backends": ["server"], "factor": 4.0, "starts_s": 6.0, "ends_s": 8.0}]}, 2.0),
        ({"faults": [{"kind": "hang", "backends": ["server-2"], "starts_s": 5.0}]}, 1.0),
        ({"faults": [{"kind": "fail", "backends": ["server-2"], "probability": 0.4}]}, 0.5 / 0.8),
        ({"faults": [{"kind": "tail", "backends": ["server"], "probability": 0.1, "factor": 11.0}]}, 1.0),
        # Half of a twelfth of the run.
        ({"faults": [{"kind": "pause", "backends": ["server"], "pause_s": 0.5, "starts_s": 5.1}]}, 1.0),
    ],
)
def test_faults_count(given: dict[str, Any], expected: float) -> None:
    of = Scenario.model_validate(scenario(**{"duration_s": 12.0, "load": {"rate": 100.0}, **given}))
    found = busiest(planned(of))
    assert found == pytest.approx(expected, rel=0.02)


def test_surges_count_and_a_fleet_of_which_nothing_is_left_is_too_busy() -> None:
    surge = {"kind": "flash_crowd", "factor": 2.0, "start_s": 30.0, "ramp_s": 1.0, "hold_s": 15.0, "decay_s": 1.0}
    work = {"classes": [{"name": "a", "work": {"kind": "constant", "mean_ms": 10.0}}], "arrivals": surge}
    of = Scenario.model_validate(scenario(duration_s=60.0, load={"rate": 80.0}, workload=work))
    assert busiest(planned(of)) == pytest.approx(0.8, rel=0.1)
    gone = Scenario.model_validate(scenario(faults=[{"kind": "crash", "backends": ["server"], "starts_s": 2.0}]))
    assert busiest(planned(gone)) > 1e6
    assert np.isfinite(busiest(planned(gone)))
