"""The router as processes, with backends that are not well: clients need not notice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.served import Served, configuration, serving


@pytest.fixture
async def backends() -> AsyncIterator[list[str]]:
    """Two servers whose health checks fail: one answers 503 to all, the other what was sent."""

    async def unhealthy(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503, text="not now")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    apps = []
    for handler in (refuse, answer):
        app = web.Application()
        app.router.add_get("/health", unhealthy)
        app.router.add_route("*", "/", handler)
        apps.append(app)
    async with TestServer(apps[0], host="127.0.0.1") as a, TestServer(apps[1], host="127.0.0.1") as b:
        yield [f"127.0.0.1:{server.port}" for server in (a, b)]


async def _metric(router: Served, name: str) -> float:
    """The sum of a metric's samples."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{router.admin}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0] == name)


async def test_panic_and_retries_together(tmp_path: Path, backends: list[str]) -> None:
    pool = {
        "policy": "round_robin",
        "health_check": {"path": "/health", "interval_s": 0.05, "fall": 1},
        "panic_share": 0.5,
        "slow_start_s": 60,
        "retries": {"retry_on": ["503"], "attempts_header": True},
    }
    async with serving(configuration(backends, pool), tmp_path) as router, aiohttp.ClientSession() as session:
        await router.status_when(lambda s: all(each["health"] == "unhealthy" for each in s["pools"]["web"]["backends"]))
        attempts = []
        for number in range(20):
            async with session.put(router.url, data=str(number)) as response:
                assert (response.status, await response.text()) == (200, str(number))
                attempts.append(response.headers.get("smartlb-attempts", "1"))
        assert set(attempts) == {"1", "2"}
        status = await router.status_when(lambda s: s["pools"]["web"]["backends"][0]["requests"] == attempts.count("2"))
        assert all(each["eligible"] for each in status["pools"]["web"]["backends"])
        assert await _metric(router, "smartlb_pool_panic") == 1
        assert await _metric(router, "smartlb_backend_failures_total") == attempts.count("2")
    assert "pool web panics: health is ignored, as 0 of 2 backends are left" in router.log


async def test_without_panic_nobody_is_asked(tmp_path: Path, backends: list[str]) -> None:
    pool = {"policy": "round_robin", "health_check": {"path": "/health", "interval_s": 0.05, "fall": 1}}
    async with serving(configuration(backends, pool), tmp_path) as router, aiohttp.ClientSession() as session:
        await router.status_when(lambda s: not any(each["eligible"] for each in s["pools"]["web"]["backends"]))
        async with session.get(router.url) as response:
            assert (response.status, (await response.json())["error"]) == (503, "no_backend")


async def test_queues_of_all_workers_get_the_room_that_a_backend_has(tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        backend = {"address": f"127.0.0.1:{server.port}", "max_in_flight": 1}
        pool = {"policy": "round_robin", "queue": {"timeout_s": 2, "max_waiting": 100}}
        async with serving(configuration([backend], pool, workers=2), tmp_path) as router:
            statuses: list[set[int]] = [set() for _ in range(10)]
            until_s = asyncio.get_running_loop().time() + 3.5

            async def client(seen: set[int]) -> None:
                async with aiohttp.ClientSession() as session:
                    while asyncio.get_running_loop().time() < until_s:
                        async with session.get(router.url) as response:
                            seen.add(response.status)

            await asyncio.gather(*map(client, statuses))
            assert statuses == [{200}] * 10
