"""Traffic control in a router of several processes."""

from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.served import configuration, serving, spawn

AFFINITY = {"kind": "cookie", "secret_env": "SERVED_SECRET"}


async def test_a_cookie_of_one_worker_holds_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVED_SECRET", "0123456789abcdef")

    def answering(name: str) -> TestServer:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(text=name)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return TestServer(app)

    async with answering("a") as a, answering("b") as b:
        backends = [f"127.0.0.1:{server.port}" for server in (a, b)]
        config = configuration(backends, {"policy": "round_robin", "affinity": AFFINITY})
        async with serving(config, tmp_path) as served:
            async with aiohttp.ClientSession() as session, session.get(served.url) as response:
                first, cookie = await response.text(), response.cookies["smartlb"].value
            for _ in range(20):  # connections of their own, so that both workers have some
                headers = {"cookie": f"smartlb={cookie}"}
                async with aiohttp.ClientSession() as session, session.get(served.url, headers=headers) as response:
                    assert await response.text() == first
                    assert "smartlb" not in response.cookies


async def test_without_its_secret_a_router_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVED_SECRET", raising=False)
    file, log = tmp_path / "smartlb.yaml", tmp_path / "log"
    file.write_text(yaml.safe_dump(configuration(["127.0.0.1:8000"], {"affinity": AFFINITY})))
    process = await spawn("serve", file, log=log)
    assert await process.wait() == 1
    assert "the environment variable that `affinity.secret_env` names is not set" in log.read_text()
