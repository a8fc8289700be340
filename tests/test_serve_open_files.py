"""More clients than the system allows open files: those that are admitted are answered."""

import asyncio
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.eventually import eventually
from tests.served import configuration, serving

_OPEN_FILES = 256
_CLIENTS = 300
_ADMITTED = 95  # half of what is left without the reserve and the listener's socket


async def test_every_client_that_is_admitted_reaches_a_backend(tmp_path: Path) -> None:
    asked = 0
    answer = asyncio.Event()

    async def hold(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await answer.wait()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", hold)
    async with TestServer(app, host="127.0.0.1") as server:
        config = configuration([f"127.0.0.1:{server.port}"], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path, open_files=_OPEN_FILES) as router:
            assert f"the system allows a worker {_OPEN_FILES} open files" in router.log
            clients = [await router.connect() for _ in range(_CLIENTS)]  # idle, more than there are open files
            status = await router.status_when(lambda s: s["workers"][0]["connections"] >= _ADMITTED)
            assert status["workers"][0]["connections"] == _ADMITTED

            async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
                with suppress(ConnectionError):  # of those that were not admitted
                    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                    return (await reader.read())[:13]
                return b""

            asking = [asyncio.create_task(ask(*client)) for client in clients]
            await eventually(lambda: asked == _ADMITTED)  # all at once
            answer.set()
            answers = await asyncio.gather(*asking)
            assert sorted(answers) == [b""] * (_CLIENTS - _ADMITTED) + [b"HTTP/1.1 200 "] * _ADMITTED
            for _, writer in clients:
                writer.close()
            await router.status_when(lambda s: s["workers"][0]["connections"] == 0)
            reader, writer = await router.connect()
            assert await ask(reader, writer) == b"HTTP/1.1 200 ", "a new client is welcome again"
            writer.close()
