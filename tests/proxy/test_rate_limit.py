"""Token buckets, in a time of the test's own, and over real connections."""

import pytest

from smartlb.config.traffic import RateLimit as Settings
from smartlb.core.outcome import Outcome
from smartlb.stages.rate_limit import RateLimit
from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http1 import read_request
from tests.proxy.live import Live, request


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    limit = RateLimit(Settings(requests_per_s=2.0, burst=3))
    assert [limit.take(1, 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.take(1, 100.25) == 0.25
    assert limit.take(1, 100.5) == 0.0
    assert limit.take(1, 100.5) == 0.5
    assert limit.take(2, 100.5) == 0.0, "another client has its own"
    assert [limit.take(1, 200.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "a rest fills it, but not beyond"


def test_in_the_long_run_the_rate_is_kept() -> None:
    limit = RateLimit(Settings(requests_per_s=7.0, burst=5))
    passed = sum(limit.take(1, tick / 100) == 0.0 for tick in range(10_000))
    assert 700 <= passed <= 706


def test_no_more_clients_are_remembered_than_allowed() -> None:
    limit = RateLimit(Settings(requests_per_s=0.001, max_clients=2))
    assert limit.take(1, 0.0) == limit.take(2, 0.0) == 0.0
    assert limit.take(1, 0.0) > 0.0
    assert limit.take(3, 0.0) == 0.0, "2 is forgotten: 1 was seen since"
    assert limit.take(1, 0.0) > 0.0
    assert limit.take(2, 0.0) == 0.0


async def test_what_is_too_much_gets_429(live: Live) -> None:
    limit = {"requests_per_s": 0.01, "burst": 2}
    routes = [{"name": "limited", "match": {"path_prefix": "/a"}, "pool": "web", "rate_limit": limit}]
    routes.append({"name": "free", "pool": "web"})
    origin, router, client = await live.pair(routes=routes)
    statuses = [(await client.ask(request("GET", "/a"))).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = await client.ask(request("GET", "/a"))
    assert refused.error == "rate_limited"
    assert 90 <= int(refused.header(b"retry-after") or 0) <= 100
    assert (await client.ask(request("GET", "/"))).status == 200, "the connection and other routes go on"
    assert (await client.ask(request("HEAD", "/a"))).body == b""
    await client.send(request("POST", "/a", body=b"GET / HTTP/1.1\r\n\r\n"))
    assert (await client.response()).header(b"connection") == b"close"
    assert await client.rest() == b""
    assert len(origin.requests) == 3
    records = await router.records(7)
    refusals = [record for record in records if record["outcome"] is Outcome.RATE_LIMITED]
    assert [(record["status"], record["route"]) for record in refusals] == [(429, 0)] * 4


@pytest.mark.parametrize("key", ["client_ip", "header"])
async def test_clients_are_told_apart(live: Live, key: str) -> None:
    limit = {"requests_per_s": 0.01, "key": key, "header": "X-Key" if key == "header" else None}
    routes = [{"name": "all", "respond": {"status": 204}, "rate_limit": limit}]
    listeners = [{"bind": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"]}]
    _origin, _router, client = await live.pair(routes=routes, listeners=listeners)
    name = "x-forwarded-for" if key == "client_ip" else "x-key"
    for expected in (204, 429):
        for number in range(3):
            assert (await client.ask(request("GET", "/", f"{name}: 192.0.2.{number}"))).status == expected
    assert (await client.ask(request("GET", "/"))).status == 204, "without it, by the connection's address"


def test_a_headers_value_is_never_taken_for_an_address() -> None:
    limit = RateLimit(Settings(requests_per_s=1, burst=1, key="header", header="x-api-key"))
    nobody = TrustedNetworks([])
    heads = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nx-api-key: 192.0.2.1\r\n\r\n"
    plain, forged = (read_request(head, len(head), None).block for head in heads)
    assert limit.take(limit.key(Peer(("203.0.113.9", 1), nobody), b"/", forged), 0.0) == 0.0
    assert limit.take(limit.key(Peer(("192.0.2.1", 1), nobody), b"/", plain), 0.0) == 0.0
