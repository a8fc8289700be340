"""More idle clients than the system allows open files: requests are answered still."""

import asyncio
import resource
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.served import configuration, serving

_OPEN_FILES = 256
_IDLE = 300


async def test_a_router_with_few_open_files_answers(tmp_path: Path, low_limit: None) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        config = configuration([f"127.0.0.1:{server.port}"], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            idle: list[asyncio.StreamWriter] = []
            try:
                reader, writer = await router.connect()  # the first, so that it is admitted
                for _ in range(_IDLE):
                    idle.append((await router.connect())[1])  # noqa: PERF401
                # All that can be admitted are, and each can have its backend.
                status = await router.status_when(lambda s: s["workers"][0]["connections"] >= _ADMITTED)
                assert status["workers"][0]["connections"] == _ADMITTED
                for _ in range(3):
                    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                    assert head.startswith(b"HTTP/1.1 200 "), head
                    assert await reader.readexactly(2) == b"ok"
            finally:
                for each in [*idle, writer]:
                    each.close()
            # And when the idle ones have gone, new clients are welcome.
            await router.status_when(lambda s: s["workers"][0]["connections"] == 0)
            async with aiohttp.ClientSession() as session, session.get(router.url) as response:
                assert (response.status, await response.text()) == (200, "ok")
            assert f"the system allows a worker {_OPEN_FILES} open files" in router.log


_ADMITTED = 95
