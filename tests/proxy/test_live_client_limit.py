"""`limits.connections_per_client`: what one address may have, over every kind of listener."""

from typing import Any

import pytest

from smartlb.core.segment import Gauge
from smartlb.limits.client_limit import ClientLimit
from smartlb.wire.proxy_protocol import Endpoints, encode
from tests.authority import Authority
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link

GET = request()
LIMITS = {"connections_per_client": 2}


async def _echo(link: Link) -> None:
    while data := await link.reader.read(65_536):
        await link.send(data)


async def _answered(live: Live, router: LiveRouter, header: bytes = b"") -> Client:
    client = await live.client(router)
    assert (await client.ask(header + GET)).status == 200
    return client


async def test_one_client_has_only_so_many_connections(live: Live) -> None:
    _origin, router, first = await live.pair(limits=LIMITS)
    await first.ask(GET)
    await _answered(live, router)
    assert await (await live.client(router)).cut() == b""
    assert router.gauge(Gauge.CONNECTIONS_REFUSED) == 1
    await first.close()
    await eventually(lambda: len(router.worker.admission.clients) == 1)
    await _answered(live, router)


async def test_trusted_proxies_have_any_number(live: Live) -> None:
    origin = await live.origin()
    router = await live.router(origin, limits=LIMITS, listener={"trusted_proxies": ["127.0.0.0/8"]})
    for _ in range(4):
        await _answered(live, router)


async def test_behind_a_balancer_it_is_the_claimed_client_that_counts(live: Live) -> None:
    origin = await live.origin()
    listener = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
    router = await live.router(origin, limits=LIMITS, listener=listener)

    def header(source: str) -> bytes:
        return encode("v2", Endpoints(source, 4711, "198.51.100.1", 443))

    await _answered(live, router, header("192.0.2.1"))
    await _answered(live, router, header("192.0.2.1"))
    await _answered(live, router, header("192.0.2.2"))
    third = await live.client(router)
    await third.send(header("192.0.2.1"))
    assert await third.cut() == b""


async def test_tcp_listeners_count_too(live: Live) -> None:
    origin = await live.origin(_echo)
    router = await live.router(origin, limits=LIMITS, listener={"protocol": "tcp", "pool": "web"})
    clients = [await live.client(router) for _ in range(2)]
    for client in clients:
        await client.send(b"x")
        assert await client.reader.readexactly(1) == b"x"
    assert await (await live.client(router)).cut() == b""
    clients[0].reset()
    await eventually(lambda: len(router.worker.admission.tcp_sessions) == 1)
    again = await live.client(router)
    await again.send(b"x")
    assert await again.reader.readexactly(1) == b"x"


@pytest.fixture
def tls(authority: Authority) -> dict[str, Any]:
    return {"tls": {"certificates": [authority.issue("a", "a.example")]}}


async def test_handshakes_under_way_are_limited_likewise(live: Live, authority: Authority, tls: dict[str, Any]) -> None:
    router = await live.router(await live.origin(), limits=LIMITS, listener=tls)
    silent = [await live.client(router) for _ in range(2)]
    await eventually(lambda: len(router.worker.admission.handshakes) == 2)
    assert await (await live.client(router)).cut() == b""
    for client in silent:
        client.reset()
    await eventually(lambda: not router.worker.admission.handshakes)
    client = await live.client(router, authority.client(), "a.example")
    assert (await client.ask(GET)).status == 200


def test_nothing_is_kept_of_clients_that_are_gone() -> None:
    limit = ClientLimit(2)
    for address in ("a", "b", "a"):
        limit.opened(address)
    assert limit.full("a")
    assert not limit.full("b")
    for address in ("a", "b", "a"):
        limit.closed(address)
    assert limit._open == {}
