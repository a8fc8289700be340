"""The scenarios that come with the simulator, and what is said of files that cannot be used."""

import os
from pathlib import Path
from typing import Any

import pytest

from simulator.api import OverloadWarning, run
from simulator.catalogue import load, names, path_of
from simulator.plan import ImpossibleScenario, Plan, overload, plan
from simulator.result import failed
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.replayed import ReplayedWorkload
from simulator.workload.workload import prepare
from smartlb.config.problems import ConfigError
from tests.simulator.scenarios import scenario

RECORDED = Path(os.environ.get("SMARTLB_TRACES", "/nonexistent"))
SHORT = {"duration_s": "2", "warmup_s": "0.5"}

every_scenario = pytest.mark.parametrize("name", names())
every_trace = pytest.mark.parametrize(
    "name", [name for name in names() if isinstance(load(name).workload, ReplayedWorkload)]
)
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="SMARTLB_TRACES names no folder of recorded traces")


def planned(of: Scenario, name: str = "test", seed: int = 0) -> Plan:
    return plan(name, of, prepare(of.workload, Path(), streams(seed), use_stand_in=True), seed)


def test_there_are_some() -> None:
    assert len(names()) >= 18
    assert "homogeneous" in names()


@every_scenario
def test_says_what_it_shows_and_can_be_carried(name: str) -> None:
    of = load(name)
    assert len(of.description.split()) >= 10
    assert of.description.endswith(".")
    made = planned(of, name)
    assert overload(made) == ""
    assert 0.0 < made.utilisation < 1.0
    # A fault that begins or ends after the end would show nothing.
    assert all(trouble.starts_s < of.duration_s for trouble in made.troubles)
    # Traffic before the first fault shows what is to be recovered.
    assert all(trouble.starts_s == 0.0 or trouble.starts_s >= 5.0 for trouble in made.troubles)


@every_scenario
@pytest.mark.parametrize("policy", ["learned", "least_connections"])
def test_runs(name: str, policy: str) -> None:
    of = run(load(name, SHORT), policy, stand_in=True, name=name)
    assert of.scenario == name
    assert len(of.requests) > 10
    assert not failed(of.log).any(), "no fault has begun yet"
    assert of.stand_in is isinstance(load(name).workload, ReplayedWorkload)
    assert bool(len(of.weights)) is (policy == "learned")


@every_trace
@recorded
def test_what_stands_in_has_the_statistics_of_the_trace(name: str) -> None:
    section = load(name).workload
    assert isinstance(section, ReplayedWorkload)
    trace, stand_in = (prepare(section, path_of(name).parent, streams(1), generated) for generated in (False, True))
    assert stand_in.work_s == pytest.approx(trace.work_s, rel=0.15)
    assert stand_in.first_s == pytest.approx(trace.first_s, rel=0.15)
    found = {kind.name: kind for kind in stand_in.classes}
    for kind in trace.classes:
        if kind.share > 0.05:
            assert found[kind.name].share == pytest.approx(kind.share, abs=0.05)
            assert found[kind.name].work_s == pytest.approx(kind.work_s, rel=0.15)
    assert found.keys() <= {kind.name for kind in trace.classes}


@every_trace
@recorded
def test_its_trace_is_replayed(name: str) -> None:
    changes = {"duration_s": "30", "warmup_s": "1", "workload.trace.requests": "3000"}
    of = run(load(name, changes), "least_connections", name=name, folder=path_of(name).parent)
    assert not of.stand_in
    assert of.speedup > 1.0
    assert of.skipped == 0
    assert of.utilisation == pytest.approx(0.7, abs=0.06)
    # It comes at the rate that was asked for, or ends before.
    last = of.log[of.log["last"] == 1]
    assert len(last) <= 3000
    assert len(last) == 3000 or last["arrived_s"].max() > 25.0


@every_trace
def test_a_trace_that_is_not_there_says_what_to_fetch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMARTLB_TRACES", raising=False)
    with pytest.raises(
        ValueError, match=r"the environment variable SMARTLB_TRACES is not set\. It is .* stand-in"
    ) as e:
        run(name, "least_connections")
    assert "\n" not in str(e.value)


# Files that cannot be used

VALID = """\
description: A test.
workload:
  classes:
    - {name: page, work: {kind: lognormal, mean_ms: 20, sigma: 0.8}}
fleet:
  - {name: server, count: 2}
faults:
  - {kind: slow, backends: [server-1], factor: 4, starts_s: 20}
  - {kind: crash, random: 1, starts_s: 20, ends_s: 30}
"""

REPLAYED = """\
description: A test.
workload:
  trace: {path: x.csv, format: csv}
  cost: {base_ms: 1}
fleet: [{name: server}]
"""


def problems(folder: Path, text: str, changes: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a scenario's text, each as it is shown but without the file's name."""
    file = folder / "s.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(str(file), changes)
    return [line.removeprefix(f"{file}:") for line in str(raised.value).split("\n")]


def replaced(old: str, new: str, text: str = VALID) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def test_the_valid_ones_are(tmp_path: Path) -> None:
    for text in (VALID, REPLAYED):
        (tmp_path / "s.yaml").write_text(text)
        assert load(str(tmp_path / "s.yaml")).description == "A test."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            replaced("factor: 4", "factor: 0.5"),
            "8:48: faults[0].factor: expected a number above 1; found the number 0.5",
        ),
        (
            replaced("factor: 4", "factr: 4"),
            "8:40: faults[0].factr: key 'factr' unknown; did you mean 'factor'? (one of: backends, ends_s, factor, ki",
        ),
        (replaced("factor: 4", "factor: '4'"), "8:48: faults[0].factor: expected a number; found '4', which is text"),
        (replaced("kind: slow, ", ""), "8:5: faults[0]: expected `kind`, which says what it is"),
        (
            replaced("kind: crash", "kind: crsh"),
            "9:5: faults[1]: kind 'crsh' unknown; did you mean 'crash'? (one of",
        ),
        (replaced("ends_s: 30", "ends_s: 3"), "9:5: faults[1]: expected `ends_s` above `starts_s`, which is 20"),
        (
            replaced("[server-1]", "[server-1], random: 2"),
            "8:5: faults[0]: expected either `backends`, by name, or `random`, a number of them",
        ),
        (
            replaced("sigma: 0.8", "sigma: 9"),
            "4:64: workload.classes[0].work.sigma: expected a number of at most 4; found the number 9",
        ),
        (
            replaced("sigma: 0.8", "sigm: 1"),
            "4:57: workload.classes[0].work.sigm: key 'sigm' unknown; did you mean 'sigma'? (one of: kind, mean_ms, si",
        ),
        (replaced("mean_ms: 20, ", ""), "4:26: workload.classes[0].work.mean_ms: required, but missing: "),
        (replaced("lognormal", "lognormale"), "4:26: workload.classes[0].work: kind 'lognormale' unknown; did you mea"),
        (
            replaced("path: x.csv", "path: 3", REPLAYED),
            "3:17: workload.trace.path: expected text; found the number 3, which is text when in quotes",
        ),
        (
            replaced("path: x.csv, ", "", REPLAYED),
            "3:10: workload.trace.path: required, but missing: A file, plain or ",
        ),
        (
            replaced("format: csv", "format: cvs", REPLAYED),
            "3:32: workload.trace.format: trace format 'cvs' unknown; did you mean 'csv'?",
        ),
        (
            replaced("base_ms: 1", "base_ms: 0", REPLAYED),
            "4:9: workload.cost: expected a cost above zero, such as base_ms: 2",
        ),
        (
            replaced("format: csv", "stand_in: {classes: [{name: a, work: {kind: constant, mean_ms: -1}}]}", REPLAYED),
            "3:87: workload.trace.stand_in.classes[0].work.mean_ms: expected a number above 0; found the number -1",
        ),
        (VALID + "load: {utilisation: 1, rate: 2}\n", "10:7: load: expected exactly one of `utilisation`, `rate` and "),
        (VALID + "load: {}\n", "10:7: load: expected exactly one of `utilisation`, `rate` and `speedup`"),
        (VALID + "duration_s: 5\n", "1:1: expected `warmup_s` below `duration_s`, which is 5"),
        (replaced("count: 2", "batch: 2"), "6:5: fleet[0]: expected `discipline: batching` beside `batch`"),
        (VALID + "flet: []\n", "10:1: flet: key 'flet' unknown; did you mean 'fleet'?"),
        (VALID + "routers: {count: 0}\n", "10:18: routers.count: expected a number of at least 1; found the number 0"),
        (VALID + "ejection: {base: 1}\n", "10:12: ejection.base: key 'base' unknown"),
        (replaced("count: 2", "count: 2, count: 3"), "6:30: fleet[0].count: key 'count' is there twice, first in line"),
        ("description: [\n", "2:1: not YAML: "),
        ("", "1:1: expected a mapping with `description` and `workload` and `fleet`; the file is empty"),
    ],
)
def test_says_where_and_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(expected)


def test_says_everything_that_is_wrong_at_once(tmp_path: Path) -> None:
    text = replaced("sigma: 0.8", "sigma: 9", replaced("factor: 4", "factor: 0"))
    assert [line.partition(" ")[0] for line in problems(tmp_path, text)] == ["4:64:", "8:48:"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("load.utilisation", "lots", "expected a number; found 'lots', which is text"),
        ("fleet.0.corse", "2", "fleet[0].corse: key 'corse' unknown; did you mean 'cores'?"),
        ("fleet.7.cores", "2", "--set fleet.7.cores=2: there is no '7' in a list, so nothing to change"),
        ("fleet.cores", "2", "--set fleet.cores=2: there is no 'cores' in a list, so nothing to change"),
        ("description.x", "2", "--set description.x=2: there is no 'x' in 'A test.', so nothing to change"),
        ("load", "{rate: ", "--set load={rate: :1:8: not YAML: "),
        ("faults.0.factor", "1", "faults[0].factor: expected a number above 1; found the number 1"),
        ("warmup_s", "60", "expected `warmup_s` below `duration_s`, which is 60"),
    ],
)
def test_changes_that_cannot_be_made(tmp_path: Path, key: str, value: str, expected: str) -> None:
    (line,) = problems(tmp_path, VALID, {key: value})
    assert expected in line


def test_changes_are_made(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(VALID)
    changes = {"load.rate": "7", "fleet.0.cores": "3", "faults": "[]", "ejection": "null", "routers": "{count: 2}"}
    of = load(str(tmp_path / "s.yaml"), changes)
    assert of.load.rate == 7.0
    assert of.fleet[0].cores == 3
    assert of.faults == []
    assert of.ejection is None
    assert of.routers.count == 2


def test_an_unknown_name_suggests_one() -> None:
    with pytest.raises(ConfigError) as raised:
        load("crsh")
    said = str(raised.value)
    assert said.startswith("crsh: scenario 'crsh' unknown; did you mean 'crash'? (one of: class_affinity, cold_start, ")
    assert said.endswith("; the name of a file of your own ends with .yaml")


@pytest.mark.parametrize("name", ["nowhere.yaml", "nowhere/at_all"])
def test_a_path_is_not_taken_for_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: cannot be read: No such file or directory$"):
        load(name)


# Scenarios that are well-formed, and cannot be run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"fleet": [{"name": "a", "count": 2}, {"name": "a-1"}]},
            "test: two backends of the fleet have the same name; names must differ",
        ),
        (
            {"faults": [{"kind": "slow", "random": 1}, {"kind": "crash", "backends": ["server", "serve-1"]}]},
            r"test: faults\[1\] \(crash\): backend 'serve-1' unknown; did you mean 'server-1'\? \(one of: server, ",
        ),
        (
            {"faults": [{"kind": "slow", "random": 3}]},
            r"test: faults\[0\] \(slow\): random is 3, but the fleet has 2 backends",
        ),
        (
            {"fleet": [{"name": "a", "class_speed": {"requests": 2.0}}]},
            r"test: fleet a: class_speed: class 'requests' unknown; did you mean 'request'\? \(one of: request\)",
        ),
        ({"load": {"speedup": 2.0}}, "test: load: speedup is for traces; give utilisation or rate"),
        ({"load": {"rate": 200.0}}, "test: 200.0 requests/s are 1.00 of what the fleet can carry at best"),
        ({"load": {"utilisation": 1.5}}, "test: 300.0 requests/s are 1.50 of what the fleet can carry at best"),
        (
            {"faults": [{"kind": "away", "backends": ["server"]}]},
            "test: every backend is away all the time; nobody could serve anything",
        ),
    ],
)
def test_says_why_it_cannot_be_run(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ImpossibleScenario, match=f"^{message}"):
        run(scenario(**given), "round_robin", name="test")


def test_an_overload_that_is_wanted_is_run_with_a_warning() -> None:
    of = scenario(load={"rate": 250.0}, duration_s=2.0)
    with pytest.warns(OverloadWarning, match=r"250\.0 requests/s are 1\.25 of what the fleet can carry"):
        found = run(of, "round_robin", allow_overload=True)
    assert found.utilisation == pytest.approx(1.25)
    assert len(found.requests) == 499
