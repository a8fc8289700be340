"""Routes that answer by themselves, change what passes, and split it."""

from typing import Any

import pytest

from smartlb.config.traffic import Redirect
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Origin, answering, ok, saying

GET = request()


async def _routed(live: Live, *routes: dict[str, Any], **settings: Any) -> tuple[Origin, LiveRouter, Client]:
    return await live.pair(routes=[{"name": f"r{at}", **route} for at, route in enumerate(routes)], **settings)


async def test_a_redirect_names_host_path_and_query(live: Live) -> None:
    route = {"redirect": {"status": 308, "to": "https://{host}:8443{path}{query}"}}
    origin, router, client = await _routed(live, route)
    response = await client.ask(b"GET /a%20b?c=d HTTP/1.1\r\nhost: A.example:80\r\n\r\n")
    assert (response.status, response.body) == (308, b"")
    assert response.header(b"location") == b"https://a.example:8443/a%20b?c=d"
    record = await router.record()
    assert (record["status"], record["outcome"], record["backend"], record["route"]) == (
        308,
        Outcome.COMPLETE,
        NO_BACKEND,
        0,
    )
    assert (await client.ask(GET)).status == 308, "the connection stays open"
    assert origin.links == []


async def test_a_redirect_never_leads_to_a_host_that_the_path_names(live: Live) -> None:
    _origin, _router, client = await _routed(live, {"redirect": {"to": "{path}"}})
    for path in ("//evil.example/x", "/\\evil.example/x", "/\\/evil.example/x"):
        location = (await client.ask(request("GET", path))).header(b"location")
        assert location == b"/evil.example/x"


async def test_a_redirect_that_needs_a_host_refuses_a_request_without(live: Live) -> None:
    _origin, router, client = await _routed(live, {"redirect": {"to": "https://{host}/"}})
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert (await router.record())["outcome"] is Outcome.BAD_REQUEST


async def test_a_fixed_response(live: Live) -> None:
    respond = {"status": 418, "body": "täa\n", "headers": {"x-kind": "pot"}}
    _origin, _router, client = await _routed(live, {"respond": respond})
    response = await client.ask(GET)
    assert (response.status, response.body, response.header(b"x-kind")) == (418, "täa\n".encode(), b"pot")
    assert response.header(b"content-type") == b"text/plain; charset=utf-8"
    head = await client.ask(request("HEAD"))
    assert (head.status, head.header(b"content-length"), head.body) == (418, b"5", b"")


async def test_pipelined_requests_to_a_fixed_response_are_all_answered(live: Live) -> None:
    _origin, _router, client = await _routed(live, {"respond": {"body": "yes"}})
    await client.send(GET * 3)
    assert [(await client.response()).body for _ in range(3)] == [b"yes"] * 3


async def test_a_body_that_nobody_reads_costs_the_connection(live: Live) -> None:
    _origin, router, client = await _routed(live, {"respond": {"status": 204}})
    whole = request("POST", "/", body=b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert (await client.ask(whole)).header(b"connection") is None, "all of it is here"
    await router.record()
    await client.send(whole[:-1])
    response = await client.response()
    assert (response.status, response.header(b"connection")) == (204, b"close")
    assert await client.rest() == b""
    assert (await router.record())["status"] == 204


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/api", "/new/v1"),
        ("/api/", "/new/v1/"),
        ("/api/users?next=/api/x", "/new/v1/users?next=/api/x"),
        ("/api/a%20b", "/new/v1/a%20b"),
        ("/%61pi/x", "/new/v1/x"),
        ("//api//x", "/new/v1/x"),
        ("/api/.%2fx", "/new/v1/x"),
        ("/api/a%0d%0ab/./c", "/new/v1/a%0D%0Ab/c"),
    ],
)
async def test_a_prefix_is_rewritten_and_cannot_be_climbed_out_of(live: Live, target: str, sent: str) -> None:
    route = {"match": {"path_prefix": "/api"}, "pool": "web", "rewrite": {"prefix": "/new/v1/"}}
    origin, _router, client = await _routed(live, route)
    assert (await client.ask(request("GET", target))).status == 200
    assert origin.requests[0].start == f"GET {sent} HTTP/1.1".encode()


async def test_a_prefix_may_be_taken_away(live: Live) -> None:
    route = {"match": {"path_prefix": "/api/"}, "pool": "web", "rewrite": {"prefix": "/"}}
    origin, _router, client = await _routed(live, route)
    for target in ("/api", "/api/x"):
        await client.ask(request("GET", target))
    assert [message.start for message in origin.requests] == [b"GET / HTTP/1.1", b"GET /x HTTP/1.1"]


async def test_headers_are_set_and_removed_both_ways(live: Live) -> None:
    route = {
        "pool": "web",
        "set_request_headers": {"X-User": "nobody", "host": "inner.example"},
        "remove_request_headers": ["x-debug"],
        "set_response_headers": {"x-frame-options": "DENY"},
        "remove_response_headers": ["server"],
    }
    script = saying(ok(b"hi", b"Server: secret/1.0", b"X-Frame-Options: ALLOWALL", b"etag: x"))
    origin, _router, client = await _routed(live, route, script=script)
    asked = request("POST", "/", "X_User: admin", "x-user: root", "X-Debug: 1", "accept: */*", body=b"abc")
    for _ in range(2):
        response = await client.ask(asked)
        assert (response.body, response.header(b"etag")) == (b"hi", b"x")
        assert response.headers.count((b"x-frame-options", b"DENY")) == 1
        assert not {b"server", b"Server"} & {name for name, _ in response.headers}
    for message in origin.requests:
        sent = [(name.lower(), value) for name, value in message.headers]
        assert [value for name, value in sent if name.replace(b"_", b"-") == b"x-user"] == [b"nobody"]
        assert [value for name, value in sent if name == b"host"] == [b"inner.example"]
        assert b"x-debug" not in dict(sent)
        assert (message.body, dict(sent)[b"accept"]) == (b"abc", b"*/*")
        assert b"x-request-id" in dict(sent)


async def test_a_connection_may_go_from_a_changed_route_to_a_plain_one(live: Live) -> None:
    changed = {"match": {"path_prefix": "/a"}, "pool": "web", "set_request_headers": {"x-changed": "yes"}}
    origin, _router, client = await _routed(live, changed, {"pool": "web"})
    for path in ("/a", "/b", "/a"):
        await client.ask(request("GET", path))
    assert [message.header(b"x-changed") for message in origin.requests] == [b"yes", None, b"yes"]


async def _split(live: Live, by: str, **shares: float) -> tuple[dict[str, Origin], LiveRouter]:
    origins = {name: await live.origin(saying(ok(name.encode()))) for name in shares}
    pools = {name: {"backends": [origin.address]} for name, origin in origins.items()}
    router = await live.router(
        pools=pools,
        listeners=[{"bind": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"]}],
        routes=[{"name": "all", "split": shares, "split_by": by}],
    )
    return origins, router


async def test_a_split_keeps_its_shares(live: Live) -> None:
    origins, router = await _split(live, "request", stable=3, canary=1, off=0)
    client = await live.client(router)
    for _ in range(200):
        assert (await client.ask(GET)).status == 200
    counts = {name: len(origin.requests) for name, origin in origins.items()}
    assert counts["off"] == 0
    assert 25 < counts["canary"] < 75


async def test_a_split_by_client_keeps_each_client_with_its_pool(live: Live) -> None:
    _origins, router = await _split(live, "client_ip", stable=1, canary=1)
    client = await live.client(router)
    seen: dict[int, set[bytes]] = {}
    for _ in range(3):
        for number in range(40):
            asked = request("GET", "/", f"x-forwarded-for: 192.0.2.{number}")
            seen.setdefault(number, set()).add((await client.ask(asked)).body)
    assert all(len(pools) == 1 for pools in seen.values())
    assert set.union(*seen.values()) == {b"stable", b"canary"}


async def test_a_split_route_without_a_backend_says_so(live: Live) -> None:
    _origins, router = await _split(live, "request", one=1, two=1)
    router.set_eligible(0, 0)
    client = await live.client(router)
    assert (await client.ask(GET)).status == 503
    assert (await router.record())["outcome"] is Outcome.NO_BACKEND


@pytest.mark.parametrize("path", ["/admin/../x", "/admin/..%2fx", "/admin/%2e%2e/x", "/x/../admin"])
async def test_no_path_is_one_thing_to_a_route_and_another_to_a_backend(live: Live, path: str) -> None:
    origin = await live.origin(answering)
    deny = {"name": "deny", "match": {"path_prefix": "/admin"}, "respond": {"status": 403}}
    router = await live.router(origin, routes=[deny, {"name": "all", "pool": "web"}])
    assert (await (await live.client(router)).ask(request("GET", path))).status == 400
    assert origin.requests == []


def test_no_redirect_leads_to_another_host_by_its_path() -> None:
    for to in ("/{path}", "//evil.example/", "/\\evil.example"):
        with pytest.raises(ValueError, match="not with two slashes"):
            Redirect(to=to)
    assert Redirect(to="/new{path}").to == "/new{path}"
