"""Positions that discovery gives to another backend: what is open to the one before serves nobody any more."""

import asyncio
from time import monotonic

from smartlb.config.model import Backend
from smartlb.config.numbering import Member
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, ok
from tests.proxy.test_live_http2_backend import Http2Link, speaking


def seat(router: LiveRouter, address: str, tenancy: int, *, leaving: bool = False) -> None:
    pool = router.worker.pools["web"]
    pool.seat([Member(0, "web", 0, Backend(address=address), tenancy, leaving)])
    pool.update(None, monotonic())


async def test_an_idle_connection_of_the_backend_before(live: Live) -> None:
    go = asyncio.Event()

    async def old(link: Link) -> None:
        while True:
            if b"/slow" in (await link.request()).start:
                await go.wait()
            await link.send(ok(b"old"))

    async def new(link: Link) -> None:
        while True:
            await link.request()
            await link.send(ok(b"new"))

    before, after = await live.origin(old), await live.origin(new)
    router = await live.router(pool={"discovery": {"api": {}, "max_backends": 1}})
    seat(router, before.address, 1)
    one, two = await live.client(router), await live.client(router)
    await one.send(request("GET", "/slow"))
    await eventually(lambda: before.requests)
    seat(router, before.address, 1, leaving=True)
    router.sweep()
    go.set()
    assert (await one.response()).body == b"old"
    seat(router, after.address, 2)  # before the next sweep
    assert (await two.ask(request())).body == b"new"


async def test_an_http2_connection_of_the_backend_before(live: Live) -> None:
    async def old(peer: Http2Link, number: int) -> None:
        await peer.ok(number, b"old")

    async def new(peer: Http2Link, number: int) -> None:
        await peer.ok(number, b"new")

    before, after = await live.origin(speaking(old)), await live.origin(speaking(new))
    router = await live.router(pool={"protocol": "http2", "discovery": {"api": {}, "max_backends": 1}})
    seat(router, before.address, 1)
    client = await live.client(router)
    assert (await client.ask(request())).body == b"old"
    seat(router, after.address, 2)
    assert (await client.ask(request())).body == b"new"
