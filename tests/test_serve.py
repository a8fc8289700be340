"""The promise of the project, from the outside: traffic moves away from a backend that becomes slow, and back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.eventually import eventually
from tests.served import Served, Status, configuration, serving

SERVICE_S = {"fast": 0.003, "middle": 0.005, "slower": 0.007, "slowest": 0.010}
INTERVAL_S = 1 / 250
WINDOW = 250


class Fleet:
    """Backends of mixed speed, and who had the latest requests.

    Attributes:
        service_s: what a request takes at each, which may be changed at any time.
        addresses: HOST:PORT by name.
        latest: names, the latest last.
    """

    def __init__(self) -> None:
        self.service_s = dict(SERVICE_S)
        self.addresses: dict[str, str] = {}
        self.latest: deque[str] = deque(maxlen=WINDOW)

    def share(self, name: str) -> float:
        """Of the latest requests; not a number before there are enough of them."""
        return self.latest.count(name) / WINDOW if len(self.latest) == WINDOW else float("nan")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Fleet"]:
        async with AsyncExitStack() as stack:
            for name in self.service_s:

                async def answer(_request: web.Request, name: str = name) -> web.Response:
                    self.latest.append(name)
                    await asyncio.sleep(self.service_s[name])
                    return web.Response(text=name)

                app = web.Application()
                app.router.add_get("/", answer)
                server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
                self.addresses[name] = f"127.0.0.1:{server.port}"
            yield self


@asynccontextmanager
async def traffic(router: Served) -> AsyncIterator[set[int]]:
    """Requests at a steady rate; gives the statuses seen so far."""
    statuses: set[int] = set()

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.get(router.url) as response:
            await response.read()
            statuses.add(response.status)

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=64)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            while True:
                group.create_task(ask(session))
                await asyncio.sleep(INTERVAL_S)

    running = asyncio.create_task(run())
    try:
        yield statuses
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.wait([running])


def fast_weighs_least(status: Status) -> bool:
    weights = {b["name"]: b["weight"]["default"] for b in status["pools"]["web"]["backends"]}
    return bool(weights["fast"] < min(weights["middle"], weights["slower"]))


async def test_traffic_follows_the_speed_of_the_backends(tmp_path: Path) -> None:
    async with Fleet().serving() as fleet:
        backends = [{"name": name, "address": address} for name, address in fleet.addresses.items()]
        config = configuration(backends, {"policy": "learned"}, learner={"interval_s": 0.1})
        async with serving(config, tmp_path) as router, traffic(router) as statuses:
            await router.status_when(lambda s: not any(worker["fallback"] for worker in s["workers"]))
            await eventually(lambda: fleet.share("fast") > 0.4 and fleet.share("slowest") < 0.2, within_s=30)

            fleet.service_s["fast"] *= 8
            await eventually(lambda: fleet.share("fast") < 0.1, within_s=30)
            await router.status_when(fast_weighs_least)

            fleet.service_s["fast"] /= 8
            await eventually(lambda: fleet.share("fast") > 0.4, within_s=30)
        assert statuses == {200}
