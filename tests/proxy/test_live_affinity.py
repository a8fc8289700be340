"""Clients that stay with their backend, by cookie or by hash."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from smartlb.config.affinity_secret import NoSecret, secret_of
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.config.test_config_traffic import config_with
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import ok, saying

_SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFINITY_SECRET", _SECRET)
    monkeypatch.setenv("OTHER_SECRET", "fedcba9876543210")


async def _router(live: Live, count: int = 3, pool: dict[str, Any] | None = None, **affinity: Any) -> LiveRouter:
    origins = [await live.origin(saying(ok(b"%d" % number))) for number in range(count)]
    if affinity["kind"] == "cookie":
        affinity = {"secret_env": "AFFINITY_SECRET", **affinity}
    listeners = [{"bind": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"]}]
    named = [{"name": f"b{number}", "address": origin.address} for number, origin in enumerate(origins)]
    return await live.router(*named, pool={"affinity": affinity, **(pool or {})}, listeners=listeners)


async def _served_by(client: Client, *headers: str) -> tuple[int, bytes | None]:
    """Which backend answered, and the cookie that came with it."""
    response = await client.ask(request("GET", "/", *headers))
    assert response.status == 200
    return int(response.body), response.header(b"set-cookie")


def _cookie(line: bytes | None) -> str:
    assert line is not None
    return line.partition(b";")[0].decode()


async def test_a_cookie_brings_a_client_back(live: Live) -> None:
    router = await _router(live, kind="cookie")
    client = await live.client(router)
    first, line = await _served_by(client)
    assert line is not None
    assert line.endswith(b"; Path=/; HttpOnly; SameSite=Lax")
    cookie = _cookie(line)
    assert cookie.startswith("smartlb=")
    for _ in range(4):
        assert await _served_by(client, f"cookie: a=b; {cookie}; c=d") == (first, None)
    # The policy, round robin, goes on from where it was for those who have none.
    assert (await _served_by(client))[0] == (first + 1) % 3
    assert (router.gauge(Gauge.AFFINITY_KEPT), router.gauge(Gauge.AFFINITY_LOST)) == (4, 0)


async def test_cookie_jars_bring_clients_back(live: Live) -> None:
    router = await _router(live, kind="cookie")
    url = f"http://127.0.0.1:{router.port}/"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        served = [await (await session.get(url)).text() for _ in range(4)]
    assert len(set(served)) == 1
    assert router.gauge(Gauge.AFFINITY_KEPT) == 3


@pytest.mark.parametrize("change", ["backend", "expiry", "signature", "other secret", "other pool"])
async def test_a_cookie_that_is_not_ours_binds_to_nothing(live: Live, change: str) -> None:
    router = await _router(live, kind="cookie")
    client = await live.client(router)
    name, _, value = _cookie((await _served_by(client))[1]).partition("=")
    other = _cookie((await _served_by(client))[1]).partition("=")[2]
    identity, expires, signature = value.split(".")
    forged = {
        "backend": f"{other.split('.')[0]}.{expires}.{signature}",
        "expiry": f"{identity}.9{expires}.{signature}",
        "signature": f"{identity}.{expires}.{'A' * 43}",
    }
    if change in forged:
        value = forged[change]
    elif change == "other secret":
        elsewhere = await _router(live, kind="cookie", secret_env="OTHER_SECRET")
        value = _cookie((await _served_by(await live.client(elsewhere)))[1]).partition("=")[2]
    else:
        route = {"name": "all", "split": {"else": 1}}
        origin = await live.origin(saying(ok(b"0")))
        affinity = {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}
        pools = {"else": {"backends": [{"name": "b0", "address": origin.address}], "affinity": affinity}}
        elsewhere = await live.router(pools=pools, routes=[route])
        value = _cookie((await _served_by(await live.client(elsewhere)))[1]).partition("=")[2]
    seen = {(await _served_by(client, f"cookie: {name}={value}"))[0] for _ in range(3)}
    assert seen == {0, 1, 2}
    assert (await _served_by(client, f"cookie: {name}={value}"))[1] is not None, "the client gets one that holds"
    assert router.gauge(Gauge.AFFINITY_KEPT) == 0


async def test_a_client_of_a_backend_that_is_away_gets_another_and_stays_there(live: Live) -> None:
    router = await _router(live, kind="cookie")
    client = await live.client(router)
    first, line = await _served_by(client)
    router.set_eligible(*(int(number != first) for number in range(3)))
    second, moved = await _served_by(client, f"cookie: {_cookie(line)}")
    assert second != first
    assert (router.gauge(Gauge.AFFINITY_KEPT), router.gauge(Gauge.AFFINITY_LOST)) == (0, 1)
    router.set_eligible(1, 1, 1)
    assert await _served_by(client, f"cookie: {_cookie(moved)}") == (second, None)


async def test_a_failed_attempt_does_not_unbind(live: Live) -> None:
    failing, good = await live.origin(), await live.origin(saying(ok(b"1")))
    named = [{"name": f"b{number}", "address": origin.address} for number, origin in enumerate((failing, good))]
    affinity = {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}
    router = await live.router(*named, pool={"affinity": affinity})
    client = await live.client(router)
    cookie = _cookie((await client.ask(request())).header(b"set-cookie"))
    failing.close_listener()
    failing.links[0].reset()
    assert await _served_by(client, f"cookie: {cookie}") == (1, None)
    assert [record["outcome"] for record in await router.records(3)][1:] == [Outcome.CONNECT_FAILED, Outcome.COMPLETE]


async def test_cookies_end_and_are_renewed_before(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    router = await _router(live, kind="cookie", ttl_s=100, secure=True, name="stay")
    client = await live.client(router)
    now_s = [1_000_000.0]
    monkeypatch.setattr("smartlb.upstream.affinity.time", lambda: now_s[0])
    first, line = await _served_by(client)
    assert line is not None
    assert (line[:5], line[-21:]) == (b"stay=", b"; Secure; Max-Age=100")
    now_s[0] += 40
    assert await _served_by(client, f"cookie: {_cookie(line)}") == (first, None)
    now_s[0] += 20
    again, renewed = await _served_by(client, f"cookie: {_cookie(line)}")
    assert again == first
    now_s[0] += 60
    assert (await _served_by(client, f"cookie: {_cookie(line)}"))[0] != first
    assert (await _served_by(client, f"cookie: {_cookie(renewed)}"))[0] == first


@pytest.mark.parametrize("kind", ["source_ip", "header", "url"])
async def test_a_hash_brings_requests_for_the_same_to_the_same(live: Live, kind: str) -> None:
    router = await _router(live, kind=kind, name="X-Tenant" if kind == "header" else None)
    client = await live.client(router)
    seen: dict[int, set[bytes]] = {}
    for _ in range(3):
        for number in range(30):
            headers = (f"x-forwarded-for: 192.0.2.{number}",) if kind == "source_ip" else ()
            if kind == "header":
                headers = (f"x-tenant:  t{number} ",)
            path = f"/{number}" if kind == "url" else "/"
            response = await client.ask(request("GET", path, *headers))
            assert response.header(b"set-cookie") is None
            seen.setdefault(number, set()).add(response.body)
    assert all(len(backends) == 1 for backends in seen.values())
    assert set.union(*seen.values()) == {b"0", b"1", b"2"}
    assert (router.gauge(Gauge.AFFINITY_KEPT), router.gauge(Gauge.AFFINITY_LOST)) == (90, 0)
    router.set_eligible(0, 1, 1)
    for number in range(30) if kind == "url" else ():
        moved = (await client.ask(request("GET", f"/{number}"))).body
        assert {moved} == seen[number] or seen[number] == {b"0"}
    if kind == "url":
        assert router.gauge(Gauge.AFFINITY_LOST) == sum(backends == {b"0"} for backends in seen.values())


async def test_without_the_header_the_policy_is_asked(live: Live) -> None:
    router = await _router(live, kind="header", name="x-tenant")
    client = await live.client(router)
    assert [(await _served_by(client))[0] for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    assert router.gauge(Gauge.AFFINITY_KEPT) == 0


def test_a_secret_is_read_and_must_be_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    affinity = config_with({"pool": "web"}, affinity={"kind": "cookie", "secret_file": str(file)}).pools["web"].affinity
    with pytest.raises(NoSecret, match="No such file"):
        secret_of("web", affinity)
    file.write_text("too short\n")
    with pytest.raises(NoSecret, match=r"at least 16 bytes .* found 9"):
        secret_of("web", affinity)
    file.write_text(_SECRET + "\n")
    assert secret_of("web", affinity) == _SECRET.encode()
    monkeypatch.delenv("AFFINITY_SECRET")
    by_env = {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}
    with pytest.raises(NoSecret, match=r"`affinity\.secret_env` names is not set"):
        secret_of("web", config_with({"pool": "web"}, affinity=by_env).pools["web"].affinity)
