"""Copies of requests, of which the client notices nothing."""

from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, Origin, Script, answering, ok, saying


async def _mirrored(live: Live, script: Script = answering, **mirror: Any) -> tuple[Origin, Origin, LiveRouter]:
    origin, shadow = await live.origin(), await live.origin(script)
    pools = {"web": {"backends": [origin.address]}, "shadow": {"backends": [shadow.address]}}
    routes = [{"name": "all", "pool": "web", "mirror": {"pool": "shadow", **mirror}}]
    return origin, shadow, await live.router(pools=pools, routes=routes)


async def _silent(link: Link) -> None:
    await link.request()
    await link.end()


async def test_a_copy_is_the_request_to_the_byte(live: Live) -> None:
    origin, shadow, router = await _mirrored(live, saying(ok(b"x" * 100_000)))
    client = await live.client(router)
    for body in (None, b"hello"):
        response = await client.ask(request("POST", "/a?b", "x-c: d", body=body))
        assert (response.status, response.body) == (200, body or b"")
    await eventually(lambda: len(shadow.requests) == 2)
    assert [message.raw for message in shadow.requests] == [message.raw for message in origin.requests]
    records = await router.records(4)
    assert sorted((record["backend"], record["response_bytes"]) for record in records) == [
        (0, 0),
        (0, 5),
        (1, 100_000),
        (1, 100_000),
    ]
    assert router.gauge(Gauge.MIRRORED) == 2


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_comes_in_pieces_is_copied_whole(live: Live, chunked: bool) -> None:
    origin, shadow, router = await _mirrored(live)
    client = await live.client(router)
    if chunked:
        await client.send(request("POST", "/", "transfer-encoding: chunked"))
        pieces = [b"5\r\nhello\r\n", b"1\r\n!\r\n0\r\n\r\n"]
    else:
        await client.send(request("POST", "/", "content-length: 6"))
        pieces = [b"hel", b"lo!"]
    for piece in pieces:
        await eventually(lambda: len(origin.links) == 1)
        await client.send(piece)
    assert (await client.response()).body.startswith(b"hello")
    await eventually(lambda: len(shadow.requests) == 1)
    assert shadow.requests[0].body == origin.requests[0].body
    await router.records(2)


async def test_larger_bodies_are_not_copied(live: Live) -> None:
    _origin, shadow, router = await _mirrored(live, max_body_bytes=4)
    client = await live.client(router)
    for asked in (request("POST", body=b"hello"), request("POST", "/", "transfer-encoding: chunked")):
        await client.send(asked)
        if b"chunked" in asked:
            await client.send(b"3\r\nhel\r\n", b"2\r\nlo\r\n0\r\n\r\n")
        assert (await client.response()).body == b"hello"
    assert (await client.ask(request("POST", body=b"hell"))).body == b"hell"
    await router.records(4)
    assert [message.body for message in shadow.requests] == [b"hell"]


async def test_a_mirror_that_hangs_costs_the_client_nothing_and_is_bounded(live: Live) -> None:
    _origin, shadow, router = await _mirrored(live, _silent, max_in_flight=2)
    client = await live.client(router)
    for _ in range(5):
        assert (await client.ask(request())).status == 200
    await eventually(lambda: len(shadow.requests) == 2)
    assert (router.gauge(Gauge.MIRRORED), router.gauge(Gauge.MIRROR_DROPPED)) == (2, 3)
    await router.records(5)
    router.sweep(ahead_s=61)
    assert await router.outcomes(2) == [Outcome.REQUEST_TIMEOUT] * 2
    await client.ask(request())
    await eventually(lambda: len(shadow.requests) == 3)
    router.sweep(ahead_s=61)


async def test_a_mirror_that_breaks_costs_the_client_nothing(live: Live) -> None:
    _origin, shadow, router = await _mirrored(live, saying(b"HTTP/1.1 nonsense\r\n\r\n"))
    client = await live.client(router)
    assert (await client.ask(request())).status == 200
    assert sorted(await router.outcomes(2)) == [Outcome.COMPLETE, Outcome.MALFORMED]
    shadow.close_listener()
    assert (await client.ask(request())).status == 200
    assert sorted(await router.outcomes(2)) == [Outcome.COMPLETE, Outcome.CONNECT_FAILED]
    router.set_eligible(1, 0)
    assert (await client.ask(request())).status == 200
    assert sorted(await router.outcomes(2)) == [Outcome.COMPLETE, Outcome.NO_BACKEND]


async def test_a_share_of_the_requests_is_copied(live: Live) -> None:
    _origin, _shadow, router = await _mirrored(live, share=0.25)
    client = await live.client(router)
    for _ in range(200):
        await client.ask(request())
    made = int(router.gauge(Gauge.MIRRORED))
    assert 25 < made < 75
    await router.records(200 + made)
