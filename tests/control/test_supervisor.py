"""The router as processes: start, traffic, stop, and what it says when it cannot start."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from tests.served import configuration, serving, spawn


class Backend:
    """A server that answers at once, or when `release` is set where the path is /slow."""

    def __init__(self, server: BaseTestServer, slow: asyncio.Event, release: asyncio.Event) -> None:
        self.address = f"127.0.0.1:{server.port}"
        self.slow = slow
        self.release = release


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    slow, release = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            slow.set()
            await release.wait()
        return web.Response(body=await request.read() or b"ok")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield Backend(server, slow, release)
        release.set()


async def _until_gone(pids: list[int]) -> None:
    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    async with asyncio.timeout(15):
        while any(map(alive, pids)):
            await asyncio.sleep(0.02)


async def test_traffic_access_log_and_a_clean_end(tmp_path: Path, backend: Backend) -> None:
    access_log = tmp_path / "access.log"
    config = configuration([backend.address], access_log={"path": str(access_log)})
    async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:

        async def ask(number: int) -> bytes:
            async with session.post(f"{router.url}{number}?q=1", data=b"body %d" % number) as response:
                assert response.status == 200
                return await response.read()

        bodies = await asyncio.gather(*map(ask, range(100)))
        assert bodies == [b"body %d" % number for number in range(100)]
        status = await router.status_when(
            lambda s: s["pools"]["web"]["backends"][0]["requests"] == 100 and s["learner"]["alive"]
        )
        assert [worker["alive"] for worker in status["workers"]] == [True, True]
        assert status["causes"] == {}
        pids = [worker["pid"] for worker in status["workers"]] + [status["learner"]["pid"]]
        await session.close()
        assert await router.stopped() == 0
        await _until_gone(pids)
        assert "Traceback" not in router.log
        assert "ERROR" not in router.log
    lines = [json.loads(line) for line in access_log.read_text().splitlines()]
    assert len(lines) == 100
    assert {line["target"] for line in lines} == {f"/{number}?q=1" for number in range(100)}
    for line in lines:
        assert (line["method"], line["client"], line["status"], line["outcome"]) == (
            "POST",
            "127.0.0.1",
            200,
            "complete",
        )
        assert (line["pool"], line["backend"]) == ("web", backend.address)
        assert len({key for key, value in line.items() if value is not None}) >= 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_slow_request_is_finished(tmp_path: Path, backend: Backend, number: signal.Signals) -> None:
    async with serving(configuration([backend.address], {"policy": "round_robin"}), tmp_path) as router:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.get(f"{router.url}slow"))
            await backend.slow.wait()
            ending = asyncio.create_task(router.stopped(number))
            while router.log.count(" drains ") < 2:
                await asyncio.sleep(0.02)
            assert not ending.done()
            backend.release.set()
            response = await asking
            assert (response.status, await response.read()) == (200, b"ok")
            assert response.headers["connection"] == "close"
        assert await ending == 0


async def test_a_request_that_never_ends_does_not_hold_up_the_end(tmp_path: Path, backend: Backend) -> None:
    config = configuration([backend.address], shutdown_s=0.2)
    async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(f"{router.url}slow"))
        await backend.slow.wait()
        assert await router.stopped() == 0
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_everything_ends_with_a_killed_supervisor(tmp_path: Path, backend: Backend) -> None:
    async with serving(configuration([backend.address]), tmp_path) as router:
        status = await router.status()
        pids = [worker["pid"] for worker in status["workers"]] + [status["learner"]["pid"]]
        assert await router.stopped(signal.SIGKILL) == -signal.SIGKILL
        await _until_gone(pids)


async def test_without_a_learned_policy_there_is_no_learner(tmp_path: Path, backend: Backend) -> None:
    config = configuration([backend.address], {"policy": "round_robin"}, workers=1)
    async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
        assert (await router.status())["learner"] is None
        async with session.get(router.url) as response:
            assert response.status == 200


@pytest.mark.parametrize("what", ["listeners", "admin"])
async def test_a_taken_address(tmp_path: Path, backend: Backend, what: str) -> None:
    config = configuration([backend.address], workers=1)
    async with serving(config, tmp_path) as router:
        if what == "listeners":
            second = {**config, "listeners": [{"bind": router.listener}]}
            taken = router.listener
        else:
            second = {**config, "admin": {"bind": router.admin}}
            taken = router.admin
        file, log = tmp_path / "second.yaml", tmp_path / "second.log"
        file.write_text(json.dumps(second))
        process = await spawn("serve", file, log=log)
        assert await asyncio.wait_for(process.wait(), 20) == 1
        said = log.read_text()
        assert f"cannot listen on {taken}: Address already in use" in said
        assert "Traceback" not in said
        assert (await router.status())["workers"][0]["alive"]


async def test_an_access_log_that_cannot_be_opened(tmp_path: Path) -> None:
    file, log = tmp_path / "c.yaml", tmp_path / "log"
    path = tmp_path / "missing" / "access.log"
    file.write_text(json.dumps(configuration(["127.0.0.1:1"], access_log={"path": str(path)})))
    process = await spawn("serve", file, log=log)
    assert await asyncio.wait_for(process.wait(), 20) == 1
    assert str(path) in log.read_text()
    assert "Traceback" not in log.read_text()


async def test_every_problem_of_a_configuration_is_told(tmp_path: Path) -> None:
    file, log = tmp_path / "c.yaml", tmp_path / "log"
    file.write_text("listeners: [{bind: nowhere}]\npools: {web: {backends: [], policy: best}}\nworkers: many\n")
    process = await spawn("serve", file, log=log)
    assert await asyncio.wait_for(process.wait(), 20) == 2
    said = log.read_text()
    for path in ("listeners", "backends", "policy", "workers"):
        assert path in said
    assert "Traceback" not in said


async def test_a_storm_of_nonsense_ends_no_worker(tmp_path: Path, backend: Backend) -> None:
    nonsense = [
        b"\0" * 1_000,
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"",
    ]
    async with serving(configuration([backend.address], {"policy": "round_robin"}), tmp_path) as router:

        async def one(number: int) -> None:
            _, writer = await router.connect()
            writer.write(nonsense[number % len(nonsense)] + os.urandom(number))
            if number % 3:
                writer.transport.abort()
            else:
                writer.close()

        for _ in range(4):
            await asyncio.gather(*map(one, range(100)))
        status = await router.status_when(lambda s: all(w["connections"] == 0 for w in s["workers"]))
        assert [worker["restarts"] for worker in status["workers"]] == [0, 0]
        async with aiohttp.ClientSession() as session, session.get(router.url) as response:
            assert response.status == 200
        assert "internal error" not in router.log


async def test_it_stops_by_itself_where_asked_to(tmp_path: Path) -> None:
    file, log = tmp_path / "router.yaml", tmp_path / "log"
    file.write_text(
        "listeners: [{bind: '127.0.0.1:0'}]\nadmin: {bind: '127.0.0.1:0'}\nworkers: 1\n"
        "pools: {web: {backends: ['127.0.0.1:1'], policy: round_robin}}\n"
    )
    process = await spawn("serve", file, "--for-s", "0.5", log=log)
    assert await asyncio.wait_for(process.wait(), 20) == 0, log.read_text()


async def test_a_request_that_is_on_its_way_at_the_end_is_served(tmp_path: Path, backend: Backend) -> None:
    """A client may have sent it before it could know that the router stops."""
    config = configuration([backend.address], {"policy": "round_robin"}, workers=1)
    async with serving(config, tmp_path) as router:
        request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        connections = [await router.connect() for _ in range(2)]
        used, writer = connections[0]
        writer.write(request)
        assert b"connection: close" not in (await used.readuntil(b"\r\n\r\n")).lower()
        await used.readexactly(2)
        ending = asyncio.create_task(router.stopped())
        while " drains 2 connections" not in router.log:
            await asyncio.sleep(0.01)
        for reader, writer in connections:
            writer.write(request)
            answer = (await reader.read()).lower()
            assert answer.startswith(b"http/1.1 200 ")
            assert b"connection: close" in answer
            writer.close()
        assert await ending == 0


async def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path, backend: Backend) -> None:
    config = configuration([backend.address], {"policy": "round_robin"}, workers=1, shutdown_s=60)
    async with serving(config, tmp_path) as router:
        reader, writer = await router.connect()
        assert await router.stopped() == 0
        assert await reader.read() == b""
        writer.close()
