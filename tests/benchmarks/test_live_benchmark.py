import asyncio
import io
import json
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import live
from benchmarks.live import (
    ENTRIES,
    Contender,
    contenders,
    losses,
    measure,
    names,
    peer_site,
    proxy,
    rows,
    spread,
    verdict,
)
from benchmarks.peers.peer import Peer, printed_version
from benchmarks.rig.processes import BenchmarkError, free_address
from simulator.demo.fleet import FLEET, Server
from simulator.demo.load import RESULT, Array
from simulator.demo.processes import DemoError
from simulator.demo.router import POOL, configuration
from simulator.demo.run import PolicyRun
from simulator.demo.settings import Settings
from simulator.demo.summary import Summary
from smartlb.config.load import parse
from smartlb.policies.registry import POLICIES

SERVERS = {spec.name: Server(spec, 18001 + at) for at, spec in enumerate(FLEET)}
SHORT = Settings(seconds=4.0, warmup_s=1.0)


def silent(_line: str) -> None:
    pass


def summary(name: str, p99_ms: float | None, failed: float = 0.0, mean_ms: float = 20.0) -> Summary:
    faults = {"slow-down": 2 * p99_ms if p99_ms else None, "errors": p99_ms}
    return Summary(name, 1000, mean_ms, 10.0, 50.0, p99_ms, faults, failed, 0, 0, 1.5, 0)


def contender(name: str, run: Callable[[PolicyRun, Array], Awaitable[Array]] | None = None) -> Contender:
    async def nothing(_run: PolicyRun, arrivals: Array) -> Array:
        return results(arrivals)

    return Contender(name, f"{name} 1.2.3", "1.2.3", run or nothing)


def results(arrivals: Array) -> Array:
    found = np.zeros(len(arrivals), RESULT)
    found["at_s"], found["latency_s"], found["status"] = arrivals["at_s"], 0.02, 200
    return found


def compared(**p99_ms: list[float | None]) -> list[dict[str, object]]:
    found = {name: [summary(name, value) for value in values] for name, values in p99_ms.items()}
    return rows([contender(name) for name in p99_ms], found)


def test_every_policy_takes_part_and_learned_is_the_first() -> None:
    assert names()[0] == "learned"
    assert set(names()) == {*POLICIES, "haproxy", "nginx", "nginx_retry"}


def test_a_proxy_that_is_not_installed_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Peer:
        return replace(ENTRIES[name].peer, find=lambda: None, install=f"install {name}")

    monkeypatch.setattr(live, "ENTRIES", {name: replace(entry, peer=absent(name)) for name, entry in ENTRIES.items()})
    said: list[str] = []
    found = contenders(("learned", "haproxy", "nginx", "round_robin"), said.append)
    assert [one.name for one in found] == ["learned", "round_robin"]
    assert said == [
        "haproxy is left out, as it is not installed: install haproxy",
        "nginx is left out, as it is not installed: install nginx",
    ]


def test_a_proxy_that_is_installed_is_shown_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = replace(ENTRIES["nginx"].peer, find=lambda: ["echo", "nginx/9.8.7"], version=printed_version())
    monkeypatch.setattr(live, "ENTRIES", {"nginx": replace(ENTRIES["nginx"], peer=peer)})
    (found,) = contenders(("nginx",), silent)
    assert (found.label, found.version) == ("nginx 9.8.7 least_conn", "9.8.7")


def test_haproxy_watches_the_answers_of_the_whole_fleet(tmp_path: Path) -> None:
    site = peer_site(ENTRIES["haproxy"], tmp_path, "127.0.0.1:18000", SERVERS)
    config = ENTRIES["haproxy"].peer.files(site)["haproxy.cfg"]
    assert "balance leastconn\n" in config
    assert "option httpchk GET /health\n" in config
    assert config.count(" check inter 1s observe layer7\n") == len(FLEET)
    for default in ("error-limit", "on-error", "fall", "retry-on"):
        assert default not in config


@pytest.mark.parametrize(("name", "retry"), [("nginx", False), ("nginx_retry", True)])
def test_nginx_has_its_defaults_but_for_what_the_name_says(name: str, retry: bool, tmp_path: Path) -> None:
    site = peer_site(ENTRIES[name], tmp_path, "127.0.0.1:18000", SERVERS)
    config = ENTRIES[name].peer.files(site)["nginx.conf"]
    assert "least_conn;" in config
    assert all(f"server {server.address};" in config for server in SERVERS.values())
    assert ("proxy_next_upstream error timeout http_500;" in config) == retry
    assert "max_fails" not in config


@pytest.mark.parametrize("name", ENTRIES)
def test_proxies_take_their_configuration(name: str, tmp_path: Path) -> None:
    peer = ENTRIES[name].peer
    program = peer.find()
    if program is None:
        pytest.skip(f"{peer.name} is not installed")
    site = peer_site(ENTRIES[name], tmp_path, free_address(), SERVERS)
    for file, content in peer.files(site).items():
        (tmp_path / file).write_text(content)
    check = "-c" if peer.name == "haproxy" else "-t"
    done = subprocess.run([*program, check, *peer.arguments(site)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("weighted", [False, True])
def test_only_weighted_policies_are_told_the_capacities(weighted: bool) -> None:
    config = parse(configuration("random", SERVERS.values(), ("page",), weighted), "live.yaml")
    capacities = [server.capacity for server in FLEET]
    weights = [backend.weight for backend in config.pools[POOL].backends]
    assert weights == (capacities if weighted else [1.0] * len(FLEET))
    labels = {one.name: one.label for one in contenders(tuple(POLICIES), silent)}
    told = {name for name, label in labels.items() if "told" in label}
    assert told == {"random", *(name for name in POLICIES if "weighted" in name)}


async def test_rounds_are_interleaved_and_everyone_gets_the_same_requests(tmp_path: Path) -> None:
    calls: list[tuple[str, bytes]] = []

    def noting(name: str) -> Contender:
        async def run(_run: PolicyRun, arrivals: Array) -> Array:
            calls.append((name, arrivals.tobytes()))
            return results(arrivals)

        return contender(name, run)

    said: list[str] = []
    found = await measure([noting("a"), noting("b"), noting("c")], replace(SHORT, output=tmp_path), 3, said.append)
    assert [name for name, _ in calls] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    requests = [sent for _, sent in calls]
    assert all(len(set(requests[at : at + 3])) == 1 for at in (0, 3, 6))
    assert len(set(requests)) == 3
    assert {name: len(rounds) for name, rounds in found.items()} == {"a": 3, "b": 3, "c": 3}
    assert said[0] == "round 1 of 3, 1 of 3: a 1.2.3 ..."
    assert "p99 20.0" in said[-1]


async def test_who_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    async def broken(_run: PolicyRun, _arrivals: Array) -> Array:
        raise BenchmarkError("ended while it started")

    said: list[str] = []
    taking_part = [contender("a"), contender("b", broken)]
    found = await measure(taking_part, replace(SHORT, output=tmp_path), 2, said.append)
    assert list(found) == ["a"]
    assert len(found["a"]) == 2
    assert len([line for line in said if "ended while it started; left out" in line]) == 1
    assert [row["name"] for row in rows(taking_part, found)] == ["a"]


@pytest.mark.parametrize("pool", [None, {"backends": [{"weight": {"page": 0.1}}, {"weight": {}}]}])
def test_learned_without_learned_weights_is_not_measured(pool: dict[str, object] | None) -> None:
    with pytest.raises(DemoError, match="no learned weights"):
        live.check_learned(pool)


def test_learned_with_learned_weights_is_measured() -> None:
    live.check_learned({"backends": [{"weight": {"page": 0.1}}, {"weight": {"page": 0.9}}]})


def test_a_spread_needs_a_figure_from_every_round() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"min": 1.0, "median": 2.0, "max": 3.0}
    assert spread([3.0, None, 2.0]) is None
    assert spread([None]) is None


def test_rows_are_sorted_by_p99_and_those_without_one_are_last() -> None:
    found = compared(learned=[40.0, 50.0, 60.0], nginx=[None, None, None], haproxy=[30.0, 45.0, 90.0])
    assert [row["name"] for row in found] == ["haproxy", "learned", "nginx"]
    assert found[1]["figures"] == {
        "mean_ms": {"min": 20.0, "median": 20.0, "max": 20.0},
        "p50_ms": {"min": 10.0, "median": 10.0, "max": 10.0},
        "p99_ms": {"min": 40.0, "median": 50.0, "max": 60.0},
        "p99_ms during slow-down": {"min": 80.0, "median": 100.0, "max": 120.0},
        "p99_ms during errors": {"min": 40.0, "median": 50.0, "max": 60.0},
        "failed_percent": {"min": 0.0, "median": 0.0, "max": 0.0},
    }


def test_the_table_shows_medians_with_least_and_greatest_and_names_the_faults() -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(live.table(compared(learned=[40.0, 50.0, 160.0], nginx=[None, None, None])))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for shown in ("learned 1.2.3", "50.0", "40.0–160", "slow-down", "errors", "failed %"):
        assert shown in text
    assert text.index("learned") < text.index("nginx")


def test_a_line_says_where_learned_lost() -> None:
    found = compared(learned=[40.0, 50.0, 60.0], haproxy=[30.0, 45.0, 90.0], nginx=[10.0, 20.0, 30.0], slow=[400.0] * 3)
    lost = losses(found)
    assert lost is not None
    assert lost["p99_ms"] == ["nginx", "haproxy"]
    assert lost["mean_ms"] == lost["failed_percent"] == []
    assert verdict(found)[0] == "learned lost p99 ms (50.0) to nginx (20.0), haproxy (45.0, within the spread)"


def test_a_line_says_that_learned_lost_nothing() -> None:
    assert verdict(compared(learned=[10.0], nginx=[20.0])) == ["learned lost no figure to any of the others"]


def test_nothing_is_said_of_learned_where_it_did_not_take_part() -> None:
    found = compared(nginx=[20.0])
    assert losses(found) is None
    assert verdict(found) == []


def test_few_rounds_are_called_few() -> None:
    found = compared(learned=[10.0])
    assert any("fewer than 3 rounds" in line for line in live.notes(found, SHORT, 1))
    assert not any("fewer than 3 rounds" in line for line in live.notes(found, SHORT, 3))


def test_what_spoils_a_figure_is_said_by_name() -> None:
    waited = [replace(summary("ip_hash", 4000.0), waited=3)]
    taking_part = [contender("learned"), contender("ip_hash")]
    found = rows(taking_part, {"learned": [summary("learned", 10.0)], "ip_hash": waited})
    lines = live.notes(found, SHORT, 3)
    assert "ip_hash: one client with three URLs is not what hashing is for." in lines
    assert "Requests waited for one of the generator's 400 connections: ip_hash." in lines
    assert not any("ip_hash" in line for line in live.notes(found[:1], SHORT, 3))


def test_what_goes_beside_the_rows_is_json_with_every_seed() -> None:
    content = json.loads(json.dumps(live.about(compared(learned=[10.0, 20.0]), replace(SHORT, seed=7), 2)))
    assert content["seeds"] == [7, 8]
    assert content["learned_lost_to"]["p99_ms"] == []
    assert [fault["name"] for fault in content["faults"]] == ["slow-down", "errors"]


def test_learned_should_lose_no_figure() -> None:
    found = {goal.what: goal for goal in live.goals(compared(learned=[40.0], haproxy=[30.0], nginx=[10.0]))}
    assert found["who is better than learned: p99 ms"].value == 2
    assert found["who is better than learned: mean ms"].reached
    assert live.goals(compared(nginx=[10.0])) == []


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--policies", "squid"], ["--seconds", "1"]])
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        live.main(arguments)
    assert arguments[0] in capsys.readouterr().err


async def test_a_proxy_that_does_not_start_says_why(tmp_path: Path) -> None:
    peer = replace(ENTRIES["nginx"].peer, arguments=lambda _site: ["-c", "echo this is no proxy; exit 1"])
    with (tmp_path / "log").open("wb") as log, pytest.raises(BenchmarkError, match="this is no proxy"):
        async with proxy(replace(ENTRIES["nginx"], peer=peer), ["sh"], SERVERS, log, 10.0):
            pass


@pytest.mark.parametrize("name", ["learned", "haproxy"])
def test_a_very_short_run(name: str, tmp_path: Path) -> None:
    taking_part = contenders((name,), silent)
    if not taking_part:
        pytest.skip(f"{name} is not installed")
    settings = replace(SHORT, seconds=2.0, warmup_s=1.0, rate=60.0, load=0.3, output=tmp_path)
    found = asyncio.run(measure(taking_part, settings, 1, silent))
    (row,) = rows(taking_part, found)
    (one,) = row["rounds"]
    assert one["requests"] > 40
    assert one["failed"] < 0.3
    assert one["timeouts"] == 0
    assert row["figures"]["p99_ms"]["median"] > 0
    assert (tmp_path / "round-1" / f"{name}.log").exists()
