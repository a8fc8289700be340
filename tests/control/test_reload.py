"""Reloading: the configuration changes under traffic, as a whole or not at all, and what is known stays known."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.admin.state import NotReloaded
from smartlb.cli.commands import check
from smartlb.config.model import Config
from smartlb.control.sockets import close_all
from smartlb.supervisor.supervisor import Supervisor
from tests.eventually import eventually
from tests.served import Served, Status, configuration, serving, spawn


class Fleet:
    """Backends that answer with their names; /slow waits for `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.slow = asyncio.Event()
        self.backends: list[dict[str, str]] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, *names: str) -> AsyncIterator["Fleet"]:
        fleet = cls()
        async with AsyncExitStack() as stack:
            for name in names:

                async def answer(request: web.Request, name: str = name) -> web.Response:
                    if request.path == "/slow":
                        fleet.slow.set()
                        await fleet.release.wait()
                    return web.Response(text=name)

                app = web.Application()
                app.router.add_get("/{path:.*}", answer)
                server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
                fleet.backends.append({"name": name, "address": f"127.0.0.1:{server.port}"})
            yield fleet
            fleet.release.set()


async def ask(router: Served, path: str = "", times: int = 1) -> list[str]:
    """The answers to as many requests, a connection each."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        answers = []
        for _ in range(times):
            async with session.get(f"{router.url}{path}") as response:
                assert response.status == 200
                answers.append(await response.text())
        return answers


def by_name(status: Status, pool: str = "web") -> dict[str, Any]:
    return {backend["name"]: backend for backend in status["pools"][pool]["backends"]}


def logged(path: Path) -> list[str]:
    """The backends in an access log."""
    return [json.loads(line)["backend"] for line in path.read_text().splitlines()]


async def test_backends_change_and_what_is_known_stays(tmp_path: Path) -> None:
    async with Fleet.of("a", "b", "c") as fleet:
        config = configuration(fleet.backends[:2], {"policy": "round_robin"})
        async with serving(config, tmp_path) as router:
            await ask(router, times=10)
            before = await router.status_when(lambda s: sum(b["requests"] for b in by_name(s).values()) == 10)
            assert (await router.post("/backends/web/a/drain"))[0] == 200

            await router.reload(configuration(list(reversed(fleet.backends)), {"policy": "least_connections"}))
            after = await router.status()
            assert after["generation"] == 2
            assert after["pools"]["web"]["policy"] == "least_connections"
            for name in ("a", "b"):
                assert by_name(after)[name]["requests"] == by_name(before)[name]["requests"] > 0
                assert by_name(after)[name]["window"]["requests"] <= by_name(before)[name]["requests"]
            assert {name: each["drained"] for name, each in by_name(after).items()} == {
                "c": False, "b": False, "a": True,
            }  # fmt: skip
            assert set(await ask(router, times=10)) <= {"b", "c"}
            assert (await router.post("/backends/web/a/undrain"))[1]["eligible_in_pool"] == 3

            await router.reload(configuration(fleet.backends[2:], {"policy": "least_connections"}))
            assert set(await ask(router, times=10)) == {"c"}
            status = await router.status_when(lambda s: s["draining_generations"] == 0)
            assert list(by_name(status)) == ["c"]
            assert not {worker["pid"] for worker in before["workers"]} & {worker["pid"] for worker in status["workers"]}
            assert "Traceback" not in router.log


async def test_an_invalid_file_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Fleet.of("a") as fleet:
        config = configuration(fleet.backends, {"policy": "round_robin"})
        async with serving(config, tmp_path) as router:
            before = await router.status()
            router.file.write_text("listeners: [{bind: nowhere}]\npools: {web: {backends: [], policy: best}}\n")
            status, answer = await router.post("/reload")
            assert (status, answer["reloaded"]) == (422, False)
            assert check(str(router.file), 1_000_000) == 2
            assert answer["problems"] == capsys.readouterr().err.splitlines()
            assert len(answer["problems"]) == 3

            router.process.send_signal(signal.SIGHUP)
            await eventually(lambda: router.log.count("not reloaded, the present configuration stays") == 6)
            router.file.unlink()
            assert "cannot be read" in (await router.post("/reload"))[1]["problems"][0]
            after = await router.status()
            assert [worker["pid"] for worker in after["workers"]] == [worker["pid"] for worker in before["workers"]]
            assert (after["generation"], after["reload_failed"]) == (1, True)
            assert await ask(router) == ["a"]


async def test_sighup_reloads(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        config = configuration(fleet.backends[:1], {"policy": "round_robin"})
        async with serving(config, tmp_path) as router:
            router.rewrite(configuration(fleet.backends[1:], {"policy": "round_robin"}))
            router.process.send_signal(signal.SIGHUP)
            await eventually(lambda: "reloaded: generation 2 serves" in router.log, within_s=30)
            assert await ask(router) == ["b"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_nothing_is_left_of_earlier_generations(tmp_path: Path) -> None:
    async with Fleet.of("a") as fleet:
        config = configuration(fleet.backends, {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            process = Path(f"/proc/{router.process.pid}")

            def held() -> tuple[int, int]:
                """Shared memory that is mapped, and open files."""
                maps = (process / "maps").read_text().count("memfd:smartlb")
                return maps, len(list((process / "fd").iterdir()))

            before = held()
            for _ in range(3):
                await router.reload(config)
            await eventually(lambda: held() == before, within_s=30)


async def test_an_address_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    async with Fleet.of("a") as fleet:
        config = configuration(fleet.backends, {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            with socket.create_server(("127.0.0.1", 0)) as other:
                taken = f"127.0.0.1:{other.getsockname()[1]}"
                router.rewrite({**config, "listeners": [*config["listeners"], {"bind": taken}]})
                status, answer = await router.post("/reload")
                assert status == 422
                assert answer["problems"] == [f"cannot listen on {taken}: Address already in use"]
            lost = str(tmp_path / "no folder" / "log")
            router.rewrite({**config, "access_log": {"path": lost}})
            assert lost in (await router.post("/reload"))[1]["problems"][0]
            assert (await router.status())["generation"] == 1
            await router.reload(config)
            assert await ask(router) == ["a"]


async def test_listeners_and_workers_come_and_go(tmp_path: Path) -> None:
    async with Fleet.of("a") as fleet:
        config = configuration(fleet.backends, {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                added = f"127.0.0.1:{probe.getsockname()[1]}"
            for workers in (3, 2):
                changed = {**config, "listeners": [{"bind": added}, *config["listeners"]], "workers": workers}
                await router.reload(changed)
                assert len((await router.status())["workers"]) == workers
                assert await ask(router, times=12) == ["a"] * 12
                async with aiohttp.ClientSession() as session, session.get(f"http://{added}/") as response:
                    assert response.status == 200
            await router.reload({**config, "admin": {"bind": "127.0.0.1:0"}})
            assert await ask(router, times=12) == ["a"] * 12
            await router.status_when(lambda s: s["draining_generations"] == 0)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*added.split(":"))


async def test_what_was_learned_serves_at_once(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        config = configuration(fleet.backends, learner={"interval_s": 0.05})
        async with serving(config, tmp_path) as router:
            # A learner learns from what comes after its start, for which the workers of a first start do not wait.
            await router.status_when(lambda s: s["learner"]["snapshot_version"] > 0)
            await ask(router, times=40)
            await router.status_when(lambda s: s["learner"]["samples"] >= 40)
            await router.reload({**config, "learner": {"interval_s": 0.06}})
            assert not any(worker["fallback"] for worker in (await router.status())["workers"])
            assert "2 backends are known from the learner before" in router.log
            await ask(router, times=20)
            await router.status_when(lambda s: s["learner"]["samples"] >= 10)


async def test_requests_under_way_and_idle_connections_outlive_their_generation(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        config = configuration(fleet.backends[:1], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.get(f"{router.url}slow"))
            await fleet.slow.wait()
            reader, writer = await router.connect()
            idle, idle_writer = await router.connect()  # has not asked for anything yet

            async def exchange() -> bytes:
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(1) == b"a"
                return head.lower()

            assert b"connection: close" not in await exchange()
            await router.reload(configuration(fleet.backends[1:], {"policy": "round_robin"}, workers=1))
            assert await ask(router) == ["b"]
            status = await router.status()
            assert status["draining_generations"] == 1
            # The last request on a connection still goes where its generation sends it, and the client is told.
            assert b"connection: close" in await exchange()
            assert await reader.read() == b""
            idle_writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"connection: close" in (await idle.read()).lower()
            fleet.release.set()
            response = await asking
            assert (response.status, await response.text()) == (200, "a")
            await router.status_when(lambda s: s["draining_generations"] == 0)
            writer.close()
            idle_writer.close()


async def test_requests_of_a_draining_generation_are_in_flight(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        config = configuration(fleet.backends[:1], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.get(f"{router.url}slow"))
            await fleet.slow.wait()
            await router.reload(configuration(list(reversed(fleet.backends)), {"policy": "round_robin"}, workers=1))
            assert (await router.post("/backends/web/a/drain"))[1]["in_flight"] == 1
            fleet.release.set()
            assert (await asking).status == 200
            status = await router.status_when(lambda s: s["draining_generations"] == 0)
            assert (by_name(status)["a"]["in_flight"], by_name(status)["a"]["requests"]) == (0, 1)
            assert by_name(status)["b"]["requests"] == 0


async def test_an_unhealthy_backend_stays_out(tmp_path: Path) -> None:
    async with Fleet.of("a") as fleet:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # nothing listens there
            dead = {"name": "dead", "address": f"127.0.0.1:{closed.getsockname()[1]}"}
            pool = {"policy": "round_robin", "health_check": {"interval_s": 0.05, "fall": 2}}
            async with serving(configuration([*fleet.backends, dead], pool), tmp_path) as router:
                await router.status_when(lambda s: by_name(s)["dead"]["health"] == "unhealthy")
                pool["health_check"] = {"interval_s": 30, "fall": 2}
                await router.reload(configuration([dead, *fleet.backends], pool))
                known = by_name(await router.status())["dead"]
                assert (known["health"], known["eligible"]) == ("unhealthy", False)
                assert "cannot connect" in known["reason"]
                # Where nobody checks it any more, nobody could find it healthy again.
                await router.reload(configuration([dead, *fleet.backends], {"policy": "round_robin"}))
                assert by_name(await router.status())["dead"]["eligible"]


async def test_the_access_log_goes_on_and_moves(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        first, second = tmp_path / "first", tmp_path / "second"
        pool = {"policy": "round_robin"}
        config = configuration(fleet.backends[:1], pool, access_log={"path": str(first)})
        async with serving(config, tmp_path) as router:
            await ask(router, times=3)
            await router.reload(configuration(fleet.backends[::-1][:1], pool, access_log={"path": str(first)}))
            await ask(router, times=3)
            await router.reload(configuration(fleet.backends, pool, access_log={"path": str(second)}))
            await ask(router, times=4)
            await router.reload(configuration(fleet.backends, pool))
            await router.status_when(lambda s: s["draining_generations"] == 0)
        assert logged(first) == ["a"] * 3 + ["b"] * 3
        assert len(logged(second)) == 4


async def test_a_panic_lasts_over_a_reload(tmp_path: Path) -> None:
    async with Fleet.of("a", "b") as fleet:
        check = {"path": "/", "expected_status": ["204"], "interval_s": 0.1, "fall": 2}
        pool = {"panic_share": 0.5, "health_check": check, "policy": "round_robin"}
        config = configuration(fleet.backends, pool, workers=1)
        async with serving(config, tmp_path) as router:
            await router.status_when(lambda s: all(b["health"] == "unhealthy" for b in by_name(s).values()))
            await eventually_serves(router)
            await router.reload({**config, "shutdown_s": 11})
            assert await ask(router, times=3)


async def eventually_serves(router: Served) -> None:
    """Wait until the workers have heard of the panic."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            async with session.get(router.url) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.05)


async def test_discovery_goes_on_while_an_earlier_generation_drains(tmp_path: Path) -> None:
    async with Fleet.of("a", "b", "c") as fleet:
        listing = tmp_path / "backends.json"

        def write(count: int) -> None:
            unfinished = tmp_path / "new.json"
            unfinished.write_text(json.dumps(fleet.backends[:count]))
            unfinished.replace(listing)

        write(1)
        pool = {
            "discovery": {"file": {"path": str(listing), "interval_s": 0.1}, "max_backends": 4},
            "health_check": {"path": "/", "interval_s": 0.2},
            "policy": "round_robin",
        }
        config = configuration([], pool, workers=1, shutdown_s=30)
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            slow = asyncio.create_task(session.get(f"{router.url}slow"))
            await fleet.slow.wait()
            await router.reload({**config, "shutdown_s": 31})
            write(2)
            await router.status_when(lambda s: "b" in by_name(s))
            write(3)
            await router.status_when(lambda s: "c" in by_name(s))
            assert (await router.status())["draining_generations"] == 1
            fleet.release.set()
            (await slow).close()
            assert "Traceback" not in router.log


async def test_a_reload_before_the_first_generation_runs_waits_for_it(tmp_path: Path) -> None:
    async with Fleet.of("a") as fleet:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.setblocking(False)
            resolver = f"127.0.0.1:{silent.getsockname()[1]}"
            dns = {"name": "x.example", "port": 80, "resolver": resolver, "timeout_s": 3}
            file, ready = tmp_path / "router.yaml", tmp_path / "ready.json"
            waits = configuration([], {"policy": "round_robin", "discovery": {"dns": dns}}, workers=1, shutdown_s=2)
            file.write_text(yaml.safe_dump(waits))
            log = tmp_path / "log"
            process = await spawn("serve", file, "--ready-file", ready, "--for-s", "40", log=log)
            try:
                async with asyncio.timeout(20):
                    await asyncio.get_running_loop().sock_recv(silent, 512)  # it asks, so signals are heard by now
                file.write_text(yaml.safe_dump(configuration(fleet.backends, {"policy": "round_robin"}, workers=1)))
                process.send_signal(signal.SIGHUP)
                await eventually(lambda: "generation 2 serves" in log.read_text(), within_s=30)
                assert process.returncode is None
                assert "Traceback" not in log.read_text()
            finally:
                process.terminate()
                await process.wait()


async def test_a_source_changes_while_an_earlier_generation_drains(tmp_path: Path) -> None:
    async with Fleet.of("a", "b", "c") as fleet:
        listings = [tmp_path / "first.json", tmp_path / "second.json"]
        listings[0].write_text(json.dumps(fleet.backends[:1]))
        listings[1].write_text(json.dumps(fleet.backends[1:2]))

        def config(listing: Path) -> dict[str, Any]:
            discovery = {"file": {"path": str(listing), "interval_s": 0.1}, "max_backends": 4}
            return configuration([], {"discovery": discovery, "policy": "round_robin"}, workers=1, shutdown_s=30)

        async with serving(config(listings[0]), tmp_path) as router, aiohttp.ClientSession() as session:
            slow = asyncio.create_task(session.get(f"{router.url}slow"))
            await fleet.slow.wait()
            reader, writer = await router.connect()  # of the first generation too, for a request after the reloads
            await router.reload(config(listings[1]))
            assert await ask(router, times=3) == ["b"] * 3
            await router.reload({**config(listings[1]), "shutdown_s": 31})
            assert (await router.status())["draining_generations"] >= 1
            listings[1].write_text(json.dumps(fleet.backends[2:]))
            await router.status_when(lambda s: "c" in by_name(s) and not by_name(s).get("b", {}).get("eligible"))
            async with asyncio.timeout(10):  # until the workers have heard of it
                while await ask(router, times=3) != ["c"] * 3:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            # The generation that drains has heard of the new source as well.
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await reader.read()).endswith(b"\r\n\r\nc")
            writer.close()
            fleet.release.set()
            assert await (await slow).text() == "a"
            await router.status_when(lambda s: s["draining_generations"] == 0)
            assert "Traceback" not in router.log


async def test_an_internal_error_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.model_validate(configuration(["127.0.0.1:1"], workers=1))
    supervisor = Supervisor(config, tmp_path / "smartlb.yaml")
    running = supervisor._running
    present = running.generations.present
    monkeypatch.setattr("smartlb.supervisor.reload.load", {}.pop)
    with pytest.raises(NotReloaded) as refused:
        await supervisor._reload.now()
    assert refused.value.problems == [f"internal error: {tmp_path / 'smartlb.yaml'!r}"]
    assert running.generations.present is present
    assert running.state.reload_failed
    said = [each.getMessage() for each in caplog.records if each.name == "smartlb.supervisor.reload"]
    assert said[-2] == "internal error in a reload"
    assert said[-1].startswith("not reloaded, the present configuration stays: internal error")
    running.pump.let_go(present)
    running.admin.socket.close()
    close_all(running.listening)


async def test_a_pipe_that_nobody_reads_is_no_access_log(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with Fleet.of("a") as fleet:
        config = configuration(fleet.backends, {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            router.rewrite({**config, "access_log": {"path": str(pipe)}})
            async with asyncio.timeout(10):
                status, answer = await router.post("/reload")
            assert status == 422
            assert str(pipe) in answer["problems"][0]
            assert await ask(router) == ["a"]


@pytest.mark.parametrize("moves", [True, False])
async def test_failures_at_an_old_address_are_counted_and_nobody_elses(tmp_path: Path, moves: bool) -> None:
    links: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        links.append(writer)

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, Fleet.of("a", "b") as fleet:
        host, port = server.sockets[0].getsockname()

        def config(*backends: dict[str, str]) -> dict[str, Any]:
            pool = {"policy": "round_robin", "ejection": {"base_ejection_s": 60}}
            return configuration(list(backends), pool, workers=1)

        a, b = fleet.backends
        async with (
            serving(config({**a, "address": f"{host}:{port}"}, b), tmp_path) as router,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        ):

            async def status_of_one() -> int:
                async with session.get(router.url) as response:
                    return response.status

            asking = [asyncio.create_task(status_of_one()) for _ in range(14)]
            await eventually(lambda: len(links) >= 7)
            await router.reload(config(a, b) if moves else config(b))  # away from what is on fire
            for link in links:
                link.transport.abort()
            count = (await asyncio.gather(*asking)).count(502)
            assert count
            status = await router.status_when(lambda s: s["draining_generations"] == 0)
            assert not any(each["ejected"] for each in by_name(status).values())
            async with session.get(f"http://{router.admin}/metrics") as response:
                lines = (await response.text()).splitlines()
            (reset,) = [
                each for each in lines if each.startswith("smartlb_failures_total{") and 'cause="reset"' in each
            ]
            assert float(reset.split()[-1]) == count
