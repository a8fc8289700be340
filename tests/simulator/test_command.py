"""`smartlb simulate` and `smartlb arena`, as they are called."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simulator import arena, simulation
from simulator.ablation import VARIANTS
from simulator.catalogue import names
from simulator.contenders import CONTENDERS
from simulator.simulation import simulate
from smartlb.cli.main import main

SHORT = ("--set", "duration_s=2", "--set", "warmup_s=0.5")
TINY_ARENA = ("arena", "crash", "--policies", "round_robin,power_of_two", "--seeds", "2", "--jobs", "1", *SHORT)

WRONG = """\
description: A test.
workload: {classes: [{name: page, work: {kind: constant, mean_ms: -1}}]}
fleet: [{name: server, cors: 2}]
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, without recorded traces, at a terminal that is wide enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMARTLB_TRACES", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def smartlb(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command; gives its exit status and what it wrote to both streams."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def figures(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def without_times(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**of, "wall_s": None, "requests_per_wall_s": None} for of in found]


# simulate


def test_simulate_shows_the_figures(smartlb: Said) -> None:
    status, out, err = smartlb("simulate", "crash", "--policy", "least_connections", *SHORT)
    assert status == 0
    assert out.startswith("crash: One of eight backends crashes and comes back after ten seconds, cold;")
    assert (
        "least_connections, seed 0, duration_s=2 warmup_s=0.5: 560.0 requests/s, 70% of what the fleet carries" in out
    )
    assert re.search(r"[1-9][0-9]* requests counted, those that came from 0\.5 to 2 s\.", out)
    assert all(f" {heading} " in out for heading in ("mean", "p50", "p99.9", "failed"))
    assert all(re.search(rf"^\s*server-{number} .*12\.5%", out, re.MULTILINE) for number in range(1, 9))
    assert "learned weight" not in out
    assert err == ""


def test_simulate_is_of_the_learned_policy_where_none_is_named(smartlb: Said) -> None:
    status, out, _ = smartlb("simulate", "homogeneous", *SHORT)
    assert status == 0
    assert "\nlearned, seed 0" in out
    assert "learned weight" in out


def test_simulate_writes_files(smartlb: Said, tmp_path: Path) -> None:
    one, other = tmp_path / "log.csv", tmp_path / "log.parquet"
    for log in (one, other):
        status, _, _ = smartlb(
            "simulate",
            "sharing",
            "--policy",
            "round_robin",
            "--seed",
            "3",
            "--json",
            "f.json",
            "--log",
            str(log),
            *SHORT,
        )
        assert status == 0
    (found,) = figures(tmp_path / "f.json")
    assert (found["scenario"], found["policy"], found["seed"]) == ("sharing", "round_robin", 3)
    rows, same = pd.read_csv(one), pd.read_parquet(other)
    assert rows.columns.tolist() == same.columns.tolist()
    assert len(rows) == len(same)
    counted = rows[rows["last"] & (rows["arrived_s"] >= 0.5)]
    assert len(counted) == found["requests"]
    assert counted.loc[~counted["failed"], "latency_ms"].mean() == pytest.approx(found["mean_ms"])


def test_another_seed_is_another_run_and_the_same_seed_the_same(smartlb: Said, tmp_path: Path) -> None:
    found = []
    for seed in ("1", "1", "2"):
        smartlb("simulate", "homogeneous", "--policy", "round_robin", "--seed", seed, "--json", "f.json", *SHORT)
        found.append(without_times(figures(tmp_path / "f.json")))
    assert found[0] == found[1] != found[2]


def test_options_go_to_the_policy(smartlb: Said, tmp_path: Path) -> None:
    found = []
    for candidates in ("2", "8"):
        option = f"candidates={candidates}"
        status, out, _ = smartlb(
            "simulate", "mixed_speeds", "--policy", "learned", "--option", option, "--json", "f.json", *SHORT
        )
        assert status == 0
        assert option in out
        found.append(figures(tmp_path / "f.json")[0]["mean_ms"])
    assert found[0] != found[1]


def test_a_file_of_ones_own(smartlb: Said, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "description: Mine.\nworkload: {classes: [{name: page, work: {kind: constant, mean_ms: 10}}]}\n"
        "fleet: [{name: server}]\nduration_s: 2\nwarmup_s: 0\nload: {rate: 20}\n"
    )
    status, out, _ = smartlb("simulate", "mine.yaml", "--policy", "round_robin")
    assert status == 0
    assert out.startswith("mine: Mine.\nround_robin, seed 0: 20.0 requests/s, 20% of what the fleet carries at best")


def test_a_trace_that_is_not_there_is_stood_in_for_with_a_warning(smartlb: Said) -> None:
    given = ("simulate", "vm_noise", "--policy", "round_robin", *SHORT)
    status, out, err = smartlb(*given)
    assert status == 0
    assert "vm_noise: trace ${SMARTLB_TRACES}/nasa-http-1995/access.log.gz: the environment variable" in err
    assert "It is a day of the NASA-HTTP logs" in err
    assert "vm_noise: requests with the same statistics, generated, take its place" in err
    assert "generated requests in the trace's place" in out
    status, again, err = smartlb(*given, "--stand-in")
    assert (status, err) == (0, "")
    assert without_seconds(again) == without_seconds(out)


def without_seconds(text: str) -> str:
    return re.sub(r"simulated in .*", "", text)


def test_a_trace_of_ones_own(smartlb: Said, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at_s,duration_s\n" + "".join(f"{at / 10},0.01\n" for at in range(30)))
    (tmp_path / "mine.yaml").write_text(
        "description: Mine.\nworkload: {trace: {path: t.csv, format: csv, columns: {at: at_s, duration: duration_s}}}\n"
        "fleet: [{name: server}]\nduration_s: 5\nwarmup_s: 0\nload: {speedup: 2}\n"
    )
    status, out, err = smartlb("simulate", str(tmp_path / "mine.yaml"), "--policy", "round_robin", "--json", "f.json")
    assert (status, err) == (0, "")
    assert "the trace 2 times as fast as recorded" in out
    (found,) = figures(tmp_path / "f.json")
    assert (found["requests"], found["speedup"], found["stand_in"]) == (30, 2.0, False)
    (tmp_path / "t.csv").unlink()
    status, out, err = smartlb("simulate", "mine.yaml", "--policy", "round_robin")
    assert (status, out) == (2, "")
    assert err.startswith("trace t.csv: there is no such file or folder")


OVERLOAD = ("--policy", "round_robin", *SHORT, "--set", "load={utilisation: 1.5}")


def test_an_overload_is_refused_unless_it_is_wanted(smartlb: Said) -> None:
    status, out, err = smartlb("simulate", "homogeneous", *OVERLOAD)
    assert (status, out) == (2, "")
    assert err == (
        "homogeneous: 1,200.0 requests/s are 1.50 of what the fleet can carry at best, so queues would grow without "
        "end; lower load, or pass --allow-overload\n"
    )
    with pytest.warns(UserWarning, match="1.50 of what the fleet can carry"):
        status, out, _ = smartlb("simulate", "homogeneous", *OVERLOAD, "--allow-overload")
    assert status == 0
    assert "150% of what the fleet carries at best" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["crsh"], "crsh: scenario 'crsh' unknown; did you mean 'crash'? (one of: class_affinity, "),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read: No such file or directory\n"),
        (
            ["wrong.yaml"],
            "wrong.yaml:2:67: workload.classes[0].work.mean_ms: expected a number above 0; found the number",
        ),
        (["wrong.yaml"], "wrong.yaml:3:24: fleet[0].cors: key 'cors' unknown; did you mean 'cores'?"),
        (["crash", "--set", "fleet.0.cors=2"], "fleet[0].cors: key 'cors' unknown; did you mean 'cores'?"),
        (
            ["crash", "--set", "fleet.9.cores=2"],
            "--set fleet.9.cores=2: there is no '9' in a list, so nothing to change\n",
        ),
        (["crash", "--set", "load={"], "--set load={:1:2: not YAML: "),
        (
            ["crash", "--set", "faults.0.backends=[server-9]"],
            "crash: faults[0] (crash): backend 'server-9' unknown; did ",
        ),
        (
            ["crash", "--option", "candidates=99"],
            "--option candidates: expected a number of at most 8; found the number 99\n",
        ),
        (
            ["crash", "--option", "candidates=two"],
            "--option candidates: expected a whole number; found 'two', which is text\n",
        ),
        (
            ["crash", "--option", "candidatse=2"],
            "candidatse: key 'candidatse' unknown; did you mean 'candidates'?",
        ),
        (["crash", "--option", "candidates=[2"], "--option candidates=[2:1:3: not YAML: "),
        (
            ["homogeneous", "--set", "load={speedup: 2}"],
            "homogeneous: load: speedup is for traces; give utilisation or ",
        ),
    ],
)
def test_what_cannot_be_simulated_is_said(smartlb: Said, tmp_path: Path, given: list[str], message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    status, out, err = smartlb("simulate", *given)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_measurements_that_cannot_be_used_are_said(smartlb: Said, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("machine,speed\nx,1\n")
    status, out, err = smartlb(
        "simulate", "vm_noise", "--stand-in", "--set", "fleet.0.measured_speed.path=m.csv", *SHORT
    )
    assert (status, out) == (2, "")
    assert err == "m.csv: no column 'value'; expected one of: machine, speed\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["simulate"], "SCENARIO"),
        (["simulate", "crash", "--policy", "lerned"], "policy 'lerned' unknown; did you mean 'learned'? (one of: "),
        (["simulate", "crash", "--seed", "-1"], "'-1' is not a whole number from 0 on"),
        (["simulate", "crash", "--seed", "1.5"], "'1.5' is not a whole number from 0 on"),
        (["simulate", "crash", "--set", "load"], "'load' is not KEY=VALUE, such as load.utilisation=0.5"),
        (["simulate", "crash", "--option", "=3"], "'=3' is not KEY=VALUE"),
        (["arena", "--policies", "learned,randm"], "policy 'randm' unknown"),
        (["arena", "--policies", ","], "expected the name of a policy, or several, separated by commas"),
        (["arena", "--ablate", "--policies", "learned"], "argument --policies: not allowed with argument --ablate"),
        (["arena", "--seeds", "0"], "'0' is not a whole number from 1 on"),
        (["arena", "--backend", "threads"], "invalid choice: 'threads'"),
        (["arena", "--jobs", "many"], "invalid int value: 'many'"),
    ],
)
def test_a_wrong_command_line_is_said(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(given)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--log"])
def test_a_file_that_cannot_be_written_is_said(smartlb: Said, option: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        smartlb("simulate", "crash", "--policy", "round_robin", option, "nowhere/x.csv", *SHORT)
    assert exit_.value.code == 2


# arena


def test_arena_compares(smartlb: Said, tmp_path: Path) -> None:
    files = ("--json", "f.json", "--parquet", "f.parquet", "--html", "f.html")
    status, out, err = smartlb(*TINY_ARENA, *files)
    assert (status, err) == (0, "")
    assert all(name in out for name in ("crash", "round_robin", "power_of_two"))
    found = figures(tmp_path / "f.json")
    runs = [(of["scenario"], of["policy"], of["seed"]) for of in found]
    assert sorted(runs) == [("crash", policy, seed) for policy in ("power_of_two", "round_robin") for seed in (0, 1)]
    assert [seed for _, _, seed in runs] == [0, 0, 1, 1]
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert list(zip(table["scenario"], table["policy"], table["seed"], strict=True)) == runs
    assert table["mean_ms"].tolist() == pytest.approx([of["mean_ms"] for of in found])
    page = (tmp_path / "f.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "One of eight backends crashes" in page
    assert "duration_s=2 warmup_s=0.5" in page
    assert len(list((tmp_path / "arena-results").iterdir())) == 4


def test_arena_does_nothing_twice(smartlb: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smartlb(*TINY_ARENA, "--json", "f.json")
    before = figures(tmp_path / "f.json")
    monkeypatch.setattr(arena, "do", None)
    status, _, _ = smartlb(*TINY_ARENA, "--json", "f.json")
    assert status == 0
    assert figures(tmp_path / "f.json") == before


def test_arena_takes_the_seeds_that_it_is_told(smartlb: Said, tmp_path: Path) -> None:
    given = ("--first-seed", "5", "--results", "kept", "--json", "f.json")
    assert smartlb(*TINY_ARENA, *given)[0] == 0
    assert [of["seed"] for of in figures(tmp_path / "f.json")] == [5, 5, 6, 6]
    assert len(list((tmp_path / "kept").iterdir())) == 4
    assert not (tmp_path / "arena-results").exists()


def test_arena_lists_what_there_is(smartlb: Said, tmp_path: Path) -> None:
    status, out, err = smartlb("arena", "--list")
    assert (status, err) == (0, "")
    said = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert said == {*names(), *CONTENDERS}
    assert list(tmp_path.iterdir()) == []


def test_arena_shows_what_each_part_of_the_learned_policy_brings(smartlb: Said, tmp_path: Path) -> None:
    given = ("arena", "crash", "--ablate", "--seeds", "1", "--jobs", "1", *SHORT)
    status, out, err = smartlb(*given, "--json", "f.json", "--html", "f.html")
    assert (status, err) == (0, "")
    assert "What each part of learned brings" in out
    found = figures(tmp_path / "f.json")
    assert [of["policy"] for of in found] == [*VARIANTS, "clairvoyant"]
    page = (tmp_path / "f.html").read_text()
    assert all(name in out and name in page for name in VARIANTS)


def test_an_ablation_begins_from_nothing(smartlb: Said, tmp_path: Path) -> None:
    status, out, err = smartlb("arena", "crash", "--ablate", "--checkpoint", "c.json")
    assert (status, out) == (2, "")
    assert err.startswith("smartlb arena: --ablate starts from nothing, as a checkpoint is of one model")
    assert list(tmp_path.iterdir()) == []


def test_arena_stands_in_for_traces_that_are_not_there(smartlb: Said, tmp_path: Path) -> None:
    given = ("arena", "vm_noise", "crash", "--policies", "round_robin", "--seeds", "1", "--jobs", "1", *SHORT)
    status, _, err = smartlb(*given, "--json", "f.json")
    assert status == 0
    assert err.count("take its place") == 1
    assert [(of["scenario"], of["stand_in"]) for of in figures(tmp_path / "f.json")] == [
        ("vm_noise", True),
        ("crash", False),
    ]
    status, _, err = smartlb(*given, "--stand-in")
    assert (status, err) == (0, "")


def test_arena_refuses_an_overload_unless_it_is_wanted(smartlb: Said, tmp_path: Path) -> None:
    given = (*TINY_ARENA, "--set", "load={utilisation: 1.2}")
    status, out, err = smartlb(*given)
    assert (status, out) == (2, "")
    assert "crash: 960.0 requests/s are 1.20 of what the fleet can carry at best" in err
    status, _, err = smartlb(*given, "--allow-overload", "--json", "f.json")
    assert (status, err) == (0, "")
    assert all(of["utilisation"] == pytest.approx(1.2) for of in figures(tmp_path / "f.json"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["crash", "crsh"], "crsh: scenario 'crsh' unknown; did you mean 'crash'?"),
        (["wrong.yaml"], "wrong.yaml:3:24: fleet[0].cors: key 'cors' unknown"),
        (["crash", "--set", "fleet.9.cores=2"], "there is no '9' in a list"),
        (["crash", "--set", "faults.0.backends=[x]", "--policies", "round_robin"], "backend 'x' unknown"),
    ],
)
def test_what_cannot_be_compared_is_said(smartlb: Said, tmp_path: Path, given: list[str], message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    status, out, err = smartlb("arena", "--seeds", "1", "--jobs", "1", *given)
    assert (status, out) == (2, "")
    assert message in err


def test_a_result_folder_that_cannot_be_is_said(smartlb: Said, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = smartlb(*TINY_ARENA, "--results", "file/kept")
    assert status == 1
    assert err.startswith("smartlb: file/kept")


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After how many runs somebody presses control and C; and how many were begun."""
    left = [0]

    def until(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return simulate(*arguments, **named)

    monkeypatch.setattr(arena, "simulate", until)
    return left


def test_an_arena_that_is_interrupted_tells_and_goes_on(
    smartlb: Said, interrupted: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted[0] = 3
    status, out, err = smartlb(*TINY_ARENA, "--json", "f.json")
    assert status == 130
    assert err.startswith("interrupted: 3 of 4 runs are done and kept in arena-results; the same command goes on from ")
    assert "round_robin" in out
    assert len(figures(tmp_path / "f.json")) == 3
    interrupted[0] = 1
    status, _, err = smartlb(*TINY_ARENA, "--json", "f.json")
    assert (status, err) == (0, "")
    assert len(figures(tmp_path / "f.json")) == 4
    assert interrupted[0] == 0
    monkeypatch.setattr(arena, "simulate", simulate)
    whole = without_times(figures(tmp_path / "f.json"))
    smartlb(*TINY_ARENA, "--json", "g.json", "--results", "anew")
    assert without_times(figures(tmp_path / "g.json")) == whole


def test_an_arena_that_is_interrupted_at_once_writes_nothing(
    smartlb: Said, interrupted: list[int], tmp_path: Path
) -> None:
    status, out, err = smartlb(*TINY_ARENA, "--json", "f.json")
    assert interrupted == [0]
    assert (status, out, err) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_that_is_interrupted_ends_quietly(smartlb: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation._Simulation, "run", at_once)
    status, out, err = smartlb("simulate", "crash", "--policy", "round_robin", *SHORT)
    assert (status, out, err) == (130, "", "interrupted\n")
