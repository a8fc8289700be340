"""Processes that die or hang: others carry on, and the supervisor replaces them."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.admin.state import ProcessStatus
from smartlb.control import child
from smartlb.process.handover import Handover
from smartlb.supervisor.children import look_after
from tests.eventually import eventually
from tests.served import Served, configuration, serving

NOTHING = Handover(config_fd=-1, segment_fd=-1, ring_capacity=1)


@asynccontextmanager
async def _router(directory: Path, **config: Any) -> AsyncIterator[Served]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as a, TestServer(app, host="127.0.0.1") as b:
        backends = [f"127.0.0.1:{server.port}" for server in (a, b)]
        async with serving(configuration(backends, **config), directory) as router:
            yield router


class Traffic:
    """Requests one after another until the block ends, on a connection each or on one that is kept.

    Attributes:
        statuses: of the responses.
        errors: of the exchanges without one.
    """

    def __init__(self, router: Served, *, keep_alive: bool) -> None:
        self.statuses: list[int] = []
        self.errors: list[Exception] = []
        self._router = router
        self._keep_alive = keep_alive

    async def __aenter__(self) -> "Traffic":
        self._task = asyncio.create_task(self._run())
        await self.more(5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def more(self, count: int) -> None:
        """Wait for as many further responses."""
        target = len(self.statuses) + count
        await eventually(lambda: len(self.statuses) >= target)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=not self._keep_alive)
        timeout = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                try:
                    async with session.get(self._router.url) as response:
                        await response.read()
                        self.statuses.append(response.status)
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.errors.append(error)
                await asyncio.sleep(0.002)


async def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    async with _router(tmp_path) as router, Traffic(router, keep_alive=True) as kept:
        # The connections of the worker that dies are lost; those of the other one are not.
        before = await router.status_when(lambda s: any(worker["connections"] for worker in s["workers"]))
        (carrying,) = [n for n, worker in enumerate(before["workers"]) if worker["connections"]]
        other = 1 - carrying
        os.kill(before["workers"][other]["pid"], signal.SIGKILL)
        after = await router.status_when(
            lambda s: s["workers"][other]["restarts"] == 1 and s["workers"][other]["alive"]
        )
        assert after["workers"][other]["pid"] != before["workers"][other]["pid"]
        assert after["workers"][carrying]["restarts"] == 0
        await kept.more(5)
        assert kept.errors == []
        assert set(kept.statuses) == {200}
        assert "SIGKILL" in router.log


async def test_new_connections_survive_a_killed_worker(tmp_path: Path) -> None:
    """Those that the kernel has queued for the dead worker wait for the next one."""
    async with _router(tmp_path) as router:
        victim = (await router.status())["workers"][0]["pid"]
        os.kill(victim, signal.SIGSTOP)  # it accepts nothing from now on
        asking = asyncio.gather(*(_once(router) for _ in range(30)))
        await asyncio.sleep(0.1)
        os.kill(victim, signal.SIGKILL)
        assert set(await asking) == {200}
        status = await router.status_when(lambda s: s["workers"][0]["alive"] and s["workers"][0]["pid"] != victim)
        assert all(backend["in_flight"] == 0 for backend in status["pools"]["web"]["backends"])


async def _once(router: Served) -> int:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(router.url) as response:
        return response.status


async def test_a_killed_workers_requests_are_not_counted_for_ever(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def hold(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", hold)
    async with TestServer(app, host="127.0.0.1") as server:
        config = configuration([f"127.0.0.1:{server.port}"], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            _, writer = await router.connect()
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            status = await router.status_when(lambda s: s["pools"]["web"]["backends"][0]["in_flight"] == 1)
            os.kill(status["workers"][0]["pid"], signal.SIGKILL)
            await router.status_when(lambda s: s["pools"]["web"]["backends"][0]["in_flight"] == 0)
            writer.close()
        release.set()


async def test_a_hung_worker_is_replaced(tmp_path: Path) -> None:
    async with _router(tmp_path) as router:
        hung = (await router.status())["workers"][0]["pid"]
        os.kill(hung, signal.SIGSTOP)
        status = await router.status_when(lambda s: s["workers"][0]["pid"] != hung and s["workers"][0]["alive"])
        assert status["workers"][0]["restarts"] == 1
        assert "has shown no life" in router.log


async def test_a_killed_learner_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    async with _router(tmp_path, learner={"interval_s": 0.05}) as router, Traffic(router, keep_alive=False) as traffic:
        before = await router.status_when(lambda s: s["learner"]["snapshot_version"] > 3)
        os.kill(before["learner"]["pid"], signal.SIGKILL)
        version = before["learner"]["snapshot_version"]
        after = await router.status_when(
            lambda s: (
                s["learner"]["restarts"] == 1
                and s["learner"]["alive"]
                and s["learner"]["snapshot_version"] > version + 3
            )
        )
        assert after["learner"]["pid"] != before["learner"]["pid"]
        await router.status_when(lambda s: all(w["snapshot_version"] > version for w in s["workers"]))
        assert traffic.errors == []
        assert set(traffic.statuses) == {200}


async def test_a_stopped_learner_leaves_the_fallback(tmp_path: Path) -> None:
    async with (
        _router(tmp_path, learner={"interval_s": 0.05, "stale_after_s": 0.5}) as router,
        Traffic(router, keep_alive=False) as traffic,
    ):
        learner = (await router.status_when(lambda s: not any(w["fallback"] for w in s["workers"])))["learner"]["pid"]
        os.kill(learner, signal.SIGSTOP)
        await router.status_when(lambda s: all(w["fallback"] for w in s["workers"]))
        await traffic.more(20)
        os.kill(learner, signal.SIGCONT)
        status = await router.status_when(lambda s: not any(w["fallback"] for w in s["workers"]))
        assert (status["learner"]["pid"], status["learner"]["restarts"]) == (learner, 0)
        assert traffic.errors == []
        assert set(traffic.statuses) == {200}


@pytest.mark.parametrize(
    ("last_s", "now_s", "kept"),
    [(0.0, 150.0, True), (0.0, 161.0, False), (120.0, 124.0, True), (120.0, 126.0, False)],
    ids=["starts for long", "does not start", "is silent for a while", "is silent"],
)
def test_a_process_may_take_longer_to_start_than_to_hang(
    last_s: float, now_s: float, kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        looked_after = child.Child("a child", "keyword", NOTHING, on_exit=lambda: None)
        looked_after.pid, looked_after.since_s = process.pid, 100.0
        for _ in range(2):
            look_after(looked_after, ProcessStatus(), last_s, 5.0, now_s)
        if kept:
            assert process.poll() is None
            process.terminate()
    assert process.returncode == (-signal.SIGTERM if kept else -signal.SIGKILL)
    assert len(caplog.records) == (0 if kept else 1)


async def test_a_stop_does_not_wait_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_FIRST_PAUSE_S", 300.0)
    exits: list[None] = []
    ends_at_once = child.Child("a child", "keyword", NOTHING, on_exit=lambda: exits.append(None))
    running = asyncio.create_task(ends_at_once.run())
    await eventually(lambda: exits)
    ends_at_once.stop()
    await asyncio.wait_for(running, 20)
    assert ends_at_once.restarts == 1


async def test_a_process_that_cannot_be_started_again_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    real, attempts = asyncio.create_subprocess_exec, 0

    async def create(*_arguments: Any, **_rest: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await real("sleep", "0.1" if attempts == 1 else "30")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create)
    again = child.Child("a child", "keyword", NOTHING, on_exit=lambda: None)
    running = asyncio.create_task(again.run())
    await eventually(lambda: attempts == 3 and again.pid is not None)
    again.stop()
    await running


async def test_a_replaced_worker_signs_with_the_secret_of_the_others(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    affinity = {"kind": "cookie", "secret_file": str(secret)}
    async with (
        TestServer(web.Application(), host="127.0.0.1") as one,
        TestServer(web.Application(), host="127.0.0.1") as two,
    ):
        pool = {"policy": "round_robin", "affinity": affinity}
        config = configuration([f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"], pool, workers=2)
        async with serving(config, tmp_path) as router:
            async with aiohttp.ClientSession() as session, session.get(router.url) as response:
                cookie = response.headers["set-cookie"].partition(";")[0]
            secret.unlink()
            pid = (await router.status())["workers"][0]["pid"]
            os.kill(pid, signal.SIGKILL)
            await router.status_when(lambda s: s["workers"][0]["pid"] not in (pid, None) and s["workers"][0]["alive"])
            for _ in range(20):  # over both workers
                connector = aiohttp.TCPConnector(force_close=True)
                async with (
                    aiohttp.ClientSession(connector=connector, headers={"cookie": cookie}) as session,
                    session.get(router.url) as response,
                ):
                    assert "set-cookie" not in response.headers
