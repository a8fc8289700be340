"""Backends join and leave a router that runs: real processes, files and connections."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.policies.registry import POLICIES
from tests.served import Served, configuration, serving

NAMES = ("a", "b", "c", "d")


@asynccontextmanager
async def fleet(names: Sequence[str] = NAMES) -> AsyncIterator[dict[str, str]]:
    """Backends that answer with their names; yields their addresses by name."""
    async with AsyncExitStack() as stack:
        addresses = {}
        for name in names:
            app = web.Application()
            app.router.add_get("/", _answering(name))
            server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
            addresses[name] = f"127.0.0.1:{server.port}"
        yield addresses


def _answering(name: str) -> Any:
    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(random.random() * 0.005)
        return web.Response(text=name)

    return answer


def pool(discovery: dict[str, Any], policy: str = "round_robin", **rest: Any) -> dict[str, Any]:
    return {"discovery": {"max_backends": 8, **discovery}, "policy": policy, **rest}


def write(path: Path, backends: Sequence[Any]) -> None:
    """Replace a file at once, as an operator's tool does."""
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(list(backends)))
    unfinished.replace(path)


def names_in(status: dict[str, Any]) -> set[str]:
    return {each["name"] for each in status["pools"]["web"]["backends"] if not each.get("leaving")}


async def answers(router: Served, count: int = 40) -> set[str]:
    """The bodies of some requests, all of which succeed."""
    async with aiohttp.ClientSession() as session:
        bodies = set()
        for _ in range(count):
            async with session.get(router.url) as response:
                assert response.status == 200, await response.text()
                bodies.add(await response.text())
        return bodies


async def serves_only(router: Served, names: set[str]) -> None:
    """Wait until the workers have heard."""
    for _ in range(100):
        if await answers(router) == names:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not only {names}\n{router.log}")


def named(addresses: dict[str, str], *names: str) -> list[dict[str, str]]:
    return [{"name": name, "address": addresses[name]} for name in names]


async def test_a_file_is_followed_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    async with fleet() as at:
        write(path, named(at, "a", "b"))
        config = configuration([], pool({"file": {"path": str(path), "interval_s": 0.05}}, ejection={}))
        async with serving(config, tmp_path) as router:
            before = await router.status()
            await serves_only(router, {"a", "b"})
            write(path, named(at, "b", "c"))
            await serves_only(router, {"b", "c"})
            for bad in ('[{"name": "x"}]', '["127.0.0.1:1", "127.0.0.1:1"]', "", "{", "a: 1"):
                path.write_text(bad)
                status = await router.status_when(lambda s: s["pools"]["web"]["discovery"]["failure"])
                assert names_in(status) == {"b", "c"}
                write(path, named(at, "b", "c"))
                await router.status_when(lambda s: not s["pools"]["web"]["discovery"]["failure"])
            path.unlink()
            await router.status_when(lambda s: "cannot be read" in (s["pools"]["web"]["discovery"]["failure"] or ""))
            await serves_only(router, {"b", "c"})
            write(path, named(at, "a"))
            await serves_only(router, {"a"})
            after = await router.status()
            assert [each["pid"] for each in before["workers"]] == [each["pid"] for each in after["workers"]]
            async with aiohttp.ClientSession() as session, session.get(f"http://{router.admin}/metrics") as response:
                metrics = await response.text()
            assert 'smartlb_discovery_up{pool="web",source="file"} 1.0' in metrics
            assert 'smartlb_discovery_backends{pool="web",source="file"} 1.0' in metrics
            assert "Traceback" not in router.log


async def test_a_pool_may_be_empty_and_have_static_backends_beside(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    async with fleet() as at:
        write(path, [])
        found = pool({"file": {"path": str(path), "interval_s": 0.05}}, "learned", health_check={"interval_s": 0.1})
        async with serving(configuration([], found), tmp_path) as router:
            async with aiohttp.ClientSession() as session, session.get(router.url) as response:
                assert response.status == 503
            write(path, named(at, "a"))
            await router.status_when(lambda s: names_in(s) == {"a"})
            await serves_only(router, {"a"})
            await router.reload(configuration(named(at, "d"), found))
            await serves_only(router, {"a", "d"})
            write(path, [])
            await serves_only(router, {"d"})


@pytest.mark.parametrize("policy", POLICIES)
async def test_no_request_fails_while_backends_join_and_leave(tmp_path: Path, policy: str) -> None:
    path = tmp_path / "web.json"
    rng = random.Random(3)
    async with fleet() as at:
        write(path, named(at, "a", "b"))
        config = configuration(
            [],
            pool({"file": {"path": str(path), "interval_s": 0.02}}, policy, ejection={}, slow_start_s=0.2),
            learner={"interval_s": 0.05},
        )
        async with serving(config, tmp_path) as router:
            over, failures, counts = asyncio.Event(), [], [0] * 6

            async def client(number: int) -> None:
                async with aiohttp.ClientSession() as session:
                    while not over.is_set():
                        async with session.get(router.url) as response:
                            body = await response.text()
                            counts[number] += 1
                            if response.status != 200:
                                failures.append((response.status, body))

            running = asyncio.gather(*(client(number) for number in range(len(counts))))
            for _ in range(12):
                write(path, named(at, "a", *rng.sample(NAMES[1:], rng.randint(0, 3))))
                await asyncio.sleep(0.12)
            over.set()
            await running
            assert failures == [], router.log
            assert all(count > 10 for count in counts)
            assert "Traceback" not in router.log


async def test_the_api_adds_and_removes_and_a_reload_keeps_what_was_added(tmp_path: Path) -> None:
    async with fleet() as at:
        config = configuration(named(at, "a"), pool({"api": {}}))
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            url = f"http://{router.admin}/backends/web"
            async with session.post(url, json={"name": "b", "address": at["b"]}) as response:
                assert response.status == 201, await response.text()
            await serves_only(router, {"a", "b"})
            for refused, status in (
                ({"name": "a", "address": at["c"]}, 409),
                ({"name": "b", "address": at["c"]}, 409),
                ({"name": "c"}, 422),
            ):
                async with session.post(url, json=refused) as response:
                    assert response.status == status
            async with session.delete(f"{url}/a") as response:
                assert response.status == 409
            async with session.delete(f"{url}/b", headers={"Origin": "http://elsewhere"}) as response:
                assert response.status == 403
            await router.reload(config)
            assert names_in(await router.status()) == {"a", "b"}
            await serves_only(router, {"a", "b"})
            async with session.delete(f"{url}/b") as response:
                assert response.status == 200
            await serves_only(router, {"a"})
