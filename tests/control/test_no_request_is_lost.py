"""Load through fifty changes: reloads, drains, and workers that are killed. No request that may be repeated fails.

What a client sees when the worker that carries its request is killed is the end of the connection. It repeats a GET
once, on a new connection, as clients do with idempotent requests; whatever else goes wrong is a failure. Reloads and
drains do not even make a client repeat a request.
"""

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.served import Served, configuration, serving

CHANGES = 50
NAMES = ("a", "b", "c", "d")
CLIENTS = 12


class Client:
    """Sends GET after GET, on connections that are kept or a new one each; knows nothing of what goes on.

    Attributes:
        answered: complete 200 responses.
        repeated: requests that had to be sent again because their connection ended.
        failures: requests without such a response, in words.
    """

    def __init__(self, router: Served, *, keep_alive: bool) -> None:
        self.answered = 0
        self.repeated = 0
        self.failures: list[str] = []
        self._router = router
        self._keep_alive = keep_alive
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                async with asyncio.timeout(15):
                    await self._get()
            except (OSError, EOFError, TimeoutError, AssertionError) as error:
                self.failures.append(repr(error))
            await asyncio.sleep(0.001)
        self._close()

    async def _get(self) -> None:
        try:
            await self._exchange()
        except (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError):
            self.repeated += 1
            self._close()
            await self._exchange()
        self.answered += 1

    async def _exchange(self) -> None:
        if self._connection is None:
            self._connection = await self._router.connect()
        reader, writer = self._connection
        writer.write(b"GET / HTTP/1.1\r\nhost: a%s\r\n\r\n" % (b"" if self._keep_alive else b"\r\nconnection: close"))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200 "), head
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


class Changes:
    """What an operator does, and what goes wrong, in a random order.

    Attributes:
        kills: how many workers were killed.
        reloads: how many configurations were applied.
    """

    def __init__(self, router: Served, backends: list[dict[str, str]], rng: random.Random) -> None:
        self.kills = 0
        self.reloads = 0
        self._router = router
        self._backends = backends
        self._rng = rng
        self._drained: str | None = None

    def config(self) -> dict[str, Any]:
        """Always with the backend a, which is never drained."""
        rng = self._rng
        others = rng.sample(self._backends[1:], rng.randint(1, 3))
        policy = rng.choice(["learned", "least_connections", "round_robin"])
        return configuration(
            [self._backends[0], *others],
            {"policy": policy},
            listeners=[{"bind": "127.0.0.1:0"}] * rng.randint(1, 2),
            workers=rng.randint(1, 3),
            learner={"interval_s": 0.1},
        )

    async def one(self, number: int) -> str:
        """Make a change; returns of what kind it was."""
        if number % 7 == 3:
            await self._router.reload(self.config())
            self.reloads += 1
        elif number % 7 == 5:
            await self._kill()
            return "killed"
        else:
            await self._drain_or_undrain()
        await asyncio.sleep(0.02)
        return "changed"

    async def _kill(self) -> None:
        """Kill a worker, and wait for the next one, so that a request is not hit twice."""
        before = await self._router.status_when(lambda s: all(worker["alive"] for worker in s["workers"]))
        pid = self._rng.choice(before["workers"])["pid"]
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        await self._router.status_when(
            lambda s: all(worker["alive"] and worker["pid"] != pid for worker in s["workers"])
        )

    async def _drain_or_undrain(self) -> None:
        if self._drained is not None:
            # It may be gone with a reload.
            status, _ = await self._router.post(f"/backends/web/{self._drained}/undrain")
            assert status in (200, 404)
            self._drained = None
        else:
            self._drained = self._rng.choice(NAMES[1:])
            status, _ = await self._router.post(f"/backends/web/{self._drained}/drain")
            assert status in (200, 404)


async def test_no_request_is_lost_in_fifty_changes(tmp_path: Path) -> None:
    rng = random.Random(7)

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(rng.random() * 0.01)
        return web.Response(body=b"x" * rng.randrange(10_000))

    async with AsyncExitStack() as stack:
        backends = []
        for name in NAMES:
            app = web.Application()
            app.router.add_get("/", answer)
            server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
            backends.append({"name": name, "address": f"127.0.0.1:{server.port}"})
        first = configuration(backends, {"policy": "learned"}, learner={"interval_s": 0.1})
        router = await stack.enter_async_context(serving(first, tmp_path))
        clients = [Client(router, keep_alive=number % 3 > 0) for number in range(CLIENTS)]
        over = asyncio.Event()
        running = asyncio.gather(*(client.run(over) for client in clients))
        changes = Changes(router, backends, rng)
        repeated = {"killed": 0, "changed": 0}
        for number in range(CHANGES):
            before = sum(client.repeated for client in clients)
            what = await changes.one(number)
            repeated[what] += sum(client.repeated for client in clients) - before
        over.set()
        await running

        failures = [failure for client in clients for failure in client.failures]
        assert failures == [], router.log
        assert all(client.answered > 20 for client in clients)
        assert changes.reloads > 5
        assert changes.kills > 5
        assert repeated == {"killed": sum(client.repeated for client in clients), "changed": 0}, router.log
        await router.status_when(lambda s: s["draining_generations"] == 0)
        assert "Traceback" not in router.log
