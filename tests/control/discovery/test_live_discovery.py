"""Backends join and leave a router that runs: real processes, files and connections."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.control.discovery.positions import REST_S
from smartlb.policies.registry import POLICIES
from tests.eventually import eventually
from tests.served import Served, configuration, serving

NAMES = ("a", "b", "c", "d")


@asynccontextmanager
async def fleet(names: Sequence[str] = NAMES) -> AsyncIterator[dict[str, str]]:
    """Backends that answer with their names; yields their addresses by name."""
    async with AsyncExitStack() as stack:
        addresses = {}
        for name in names:
            app = web.Application()
            app.router.add_get("/{path:.*}", _answering(name))
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


async def answers(router: Served, count: int = 40, refused: str | None = None) -> set[str]:
    """The bodies of some requests, all of which succeed; `refused` stands for a 503, where there may be one."""
    async with aiohttp.ClientSession() as session:
        bodies = set()
        for _ in range(count):
            async with session.get(router.url) as response:
                if response.status == 503 and refused is not None:
                    bodies.add(refused)
                    continue
                assert response.status == 200, await response.text()
                bodies.add(await response.text())
        return bodies


async def serves_only(router: Served, names: set[str], *, from_nothing: bool = False) -> None:
    """Wait until the workers have heard; no request fails meanwhile, unless the pool was empty."""
    for _ in range(100):
        if await answers(router, refused="" if from_nothing else None) == names:
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
            await serves_only(router, {"a"}, from_nothing=True)
            await router.reload(configuration(named(at, "d"), found))
            await serves_only(router, {"a", "d"})
            write(path, [])
            await serves_only(router, {"d"})


async def test_no_request_fails_while_backends_join_and_leave(tmp_path: Path) -> None:
    """Under every policy, each with a pool of its own of the same backends."""
    path = tmp_path / "web.json"
    rng = random.Random(3)
    async with fleet() as at:
        write(path, named(at, "a", "b"))
        discovery = {"file": {"path": str(path), "interval_s": 0.02}}
        config = configuration([], learner={"interval_s": 0.05})
        config["pools"] = {name: pool(discovery, name, backends=[], ejection={}, slow_start_s=0.2) for name in POLICIES}
        config["routes"] = [{"name": name, "match": {"path_prefix": f"/{name}"}, "pool": name} for name in POLICIES]
        async with serving(config, tmp_path) as router:
            over, failures, counts = asyncio.Event(), [], dict.fromkeys(POLICIES, 0)

            async def client(policy: str) -> None:
                async with aiohttp.ClientSession() as session:
                    while not over.is_set():
                        async with session.get(f"{router.url}{policy}") as response:
                            body = await response.text()
                            counts[policy] += 1
                            if response.status != 200:
                                failures.append((policy, response.status, body))

            running = asyncio.gather(*(client(policy) for policy in POLICIES))
            for _ in range(18):
                write(path, named(at, "a", *rng.sample(NAMES[1:], rng.randint(0, 3))))
                await asyncio.sleep(0.15)
            for turn in range(16):  # all of them at once
                write(path, named(at, *(NAMES[:2] if turn % 2 else NAMES[2:])))
                await asyncio.sleep(0.1)
            over.set()
            await running
            assert failures == [], router.log
            assert all(count > 10 for count in counts.values())
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


async def test_a_request_under_way_at_one_that_leaves_is_answered_and_its_position_waits(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        if not arrived.is_set():
            arrived.set()
            await go_on.wait()
        return web.Response(text="slow")

    app = web.Application()
    app.router.add_get("/", slow)
    async with TestServer(app, host="127.0.0.1") as server, fleet() as at:
        write(path, [{"name": "slow", "address": f"127.0.0.1:{server.port}"}])
        config = configuration([], pool({"file": {"path": str(path), "interval_s": 0.05}}))
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            asked = asyncio.create_task(session.get(router.url))
            await asyncio.wait_for(arrived.wait(), 10)
            write(path, named(at, "a"))
            await serves_only(router, {"a"})
            status = await router.status()
            (leaving,) = [each for each in status["pools"]["web"]["backends"] if each.get("leaving")]
            assert (leaving["eligible"], leaving["in_flight"]) == (False, 1)
            go_on.set()
            async with await asked as response:
                assert (response.status, await response.text()) == (200, "slow")


async def test_one_that_comes_back_keeps_its_counters(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    async with fleet() as at:
        write(path, named(at, "a", "b"))
        config = configuration([], pool({"file": {"path": str(path), "interval_s": 0.05}}))
        async with serving(config, tmp_path) as router:
            await serves_only(router, {"a", "b"})
            write(path, named(at, "b"))
            await router.status_when(lambda s: names_in(s) == {"b"})
            write(path, named(at, "a", "b"))
            status = await router.status_when(lambda s: names_in(s) == {"a", "b"})
            assert all(each["requests"] > 0 for each in status["pools"]["web"]["backends"])
            await serves_only(router, {"a", "b"})


async def test_what_finds_no_room_waits_and_the_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    async with fleet() as at:
        write(path, named(at, "a", "b"))
        discovery = {"file": {"path": str(path), "interval_s": 0.05}, "max_backends": 1}
        async with serving(configuration([], pool(discovery)), tmp_path) as router:
            await serves_only(router, {"a"})
            assert "no room for 1 backends" in router.log


@pytest.mark.parametrize("policy", ["round_robin", "learned"])
async def test_members_outlive_a_reload(tmp_path: Path, policy: str) -> None:
    async with fleet() as at:
        config = configuration([], pool({"api": {}}, policy), learner={"interval_s": 0.05})
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            for name in ("a", "b"):
                body = {"name": name, "address": at[name]}
                async with session.post(f"http://{router.admin}/backends/web", json=body) as response:
                    assert response.status == 201
            await serves_only(router, {"a", "b"}, from_nothing=True)
            over = asyncio.Event()

            async def client() -> None:
                while not over.is_set():
                    assert await answers(router, 5) <= {"a", "b"}

            running = asyncio.create_task(client())
            for _ in range(2):
                await router.reload(config)
                assert names_in(await router.status()) == {"a", "b"}
            over.set()
            await running


async def test_members_outlive_an_upgrade(tmp_path: Path) -> None:
    async with fleet() as at:
        config = configuration([], pool({"api": {}}))
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            body = {"name": "b", "address": at["b"]}
            async with session.post(f"http://{router.admin}/backends/web", json=body) as response:
                assert response.status == 201
            await serves_only(router, {"b"}, from_nothing=True)
            ready = tmp_path / "ready.json"
            old = json.loads(ready.read_text())["pid"]
            router.process.send_signal(signal.SIGUSR2)
            await eventually(lambda: json.loads(ready.read_text())["pid"] != old, within_s=40)
            new = json.loads(ready.read_text())["pid"]
            try:
                assert await asyncio.wait_for(router.process.wait(), 20) == 0
                assert names_in(await router.status()) == {"b"}
                await serves_only(router, {"b"})
            finally:
                os.kill(new, signal.SIGTERM)
                await eventually(lambda: ended(new), within_s=20)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_pool_whose_source_changes_keeps_its_backends_until_the_new_one_answers(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    async with fleet() as at:
        write(first, named(at, "a", "b"))
        config = configuration([], pool({"file": {"path": str(first), "interval_s": 0.05}}))
        async with serving(config, tmp_path) as router:
            await serves_only(router, {"a", "b"})
            await router.reload(configuration([], pool({"file": {"path": str(second), "interval_s": 0.05}})))
            await serves_only(router, {"a", "b"})
            write(second, named(at, "c"))
            await serves_only(router, {"c"})
            write(first, named(at, "d"))
            await router.reload(configuration(named(at, "a"), {"policy": "round_robin"}))
            await serves_only(router, {"a"})


@pytest.mark.parametrize("kind", ["cookie", "source_ip"])
async def test_clients_stay_with_backends_that_stay(tmp_path: Path, kind: str) -> None:
    path, secret = tmp_path / "web.json", tmp_path / "secret"
    secret.write_text("x" * 32)
    affinity: dict[str, Any] = {
        "kind": kind,
        **({"secret_file": str(secret)} if kind == "cookie" else {}),
    }
    async with fleet() as at:
        write(path, named(at, *NAMES))
        config = configuration([], pool({"file": {"path": str(path), "interval_s": 0.05}}, affinity=affinity))
        async with serving(config, tmp_path) as router:
            jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:

                async def own() -> str:
                    async with session.get(router.url) as response:
                        assert response.status == 200
                        return await response.text()

                mine = await own()
                other = next(name for name in NAMES if name != mine)
                for names in ([mine, other], [mine], list(NAMES)):
                    write(path, named(at, *names))
                    await router.status_when(lambda s, names=names: names_in(s) == set(names))  # type: ignore[misc]
                    assert {await own() for _ in range(20)} == {mine}
                write(path, named(at, other))
                await router.status_when(lambda s: names_in(s) == {other})
                await serves_only(router, {other})
                assert await own() == other


@pytest.mark.parametrize("policy", ["learned", "ip_hash"])
async def test_a_position_is_given_to_another_backend_that_begins_from_nothing(tmp_path: Path, policy: str) -> None:
    path = tmp_path / "web.json"
    async with fleet() as at:
        write(path, named(at, "a"))
        discovery = {"file": {"path": str(path), "interval_s": 0.05}, "max_backends": 1}
        config = configuration(
            [], pool(discovery, policy, health_check={"interval_s": 0.1}), learner={"interval_s": 0.05}
        )
        async with serving(config, tmp_path) as router:
            await serves_only(router, {"a"})
            await router.status_when(lambda s: s["pools"]["web"]["backends"][0]["requests"] >= 40)
            write(path, named(at, "b"))
            status = await router.status_when(lambda s: names_in(s) == {"b"}, within_s=REST_S + 20)
            (backend,) = status["pools"]["web"]["backends"]
            assert (backend["address"], backend["requests"], backend["ejected"]) == (at["b"], 0, False)
            await serves_only(router, {"b"}, from_nothing=True)
            assert "Traceback" not in router.log
