"""Rate limits over real connections."""

import pytest

from smartlb.core.outcome import Outcome
from tests.proxy.live import Live, request


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
    await client.send(request("POST", "/a", body=b"GET / HTTP/1.1\r\n\r\n")[:-1])  # the rest of which nobody reads
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
