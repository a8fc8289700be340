"""Health checks against real servers that answer, fail, recover, refuse or say nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.health import HealthChecker
from smartlb.control.rise_fall import Health
from smartlb.wire.proxy_protocol import Version, encode
from tests.authority import Authority
from tests.eventually import eventually
from tests.guarded import guarded

Change = tuple[int, bool, str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHECK = {"path": "/health", "interval_s": 0.02, "timeout_s": 2.0, "rise": 2, "fall": 3}


def config(*addresses: str, **check: Any) -> Config:
    pools = {"web": {"backends": list(addresses), "health_check": {**CHECK, **check}}}
    return Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as running:
        yield f"127.0.0.1:{running.port}"


@asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    running = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{running.sockets[0].getsockname()[1]}"
    finally:
        running.close()


@asynccontextmanager
async def checking(settings: Config) -> AsyncIterator[tuple[HealthChecker, Callable[[], Awaitable[Change]]]]:
    """Runs a checker; the second value waits for the next change."""
    changes: asyncio.Queue[Change] = asyncio.Queue()
    checker = HealthChecker(settings, Numbering(settings), lambda *change: changes.put_nowait(change), Random(1))
    task = asyncio.create_task(checker.run())
    try:
        yield checker, lambda: asyncio.wait_for(changes.get(), 10)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_backend_fails_and_recovers() -> None:
    status = 200

    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/health"
        return web.Response(status=status)

    async with server(handler) as address, checking(config(address)) as (checker, change):
        assert checker.health(0) is Health.UNKNOWN
        assert await change() == (0, True, "answered 200 (2 in a row)")
        assert checker.health(0) is Health.HEALTHY
        status = 503
        assert await change() == (0, False, "answered 503 to GET /health, expected 200-399 (3 in a row)")
        assert checker.health(0) is Health.UNHEALTHY
        status = 204
        assert await change() == (0, True, "answered 204 (2 in a row)")


async def test_expected_statuses_and_host() -> None:
    hosts = []

    async def handler(request: web.Request) -> web.Response:
        hosts.append(request.headers["Host"])
        return web.Response(status=401)

    async with server(handler) as address:
        async with checking(config(address, expected_status=["200", 401])) as (_, change):
            assert (await change())[:2] == (0, True)
        assert set(hosts) == {address}
        hosts.clear()
        settings = config(address, expected_status=["200", "300-303"], host="internal.example")
        async with checking(settings) as (_, change):
            assert (await change())[2].startswith("answered 401 to GET /health, expected 200 or 300-303")
        assert set(hosts) == {"internal.example"}


async def test_a_redirect_is_not_followed() -> None:
    paths = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with server(handler) as address, checking(config(address)) as (_, change):
        assert await change() == (0, True, "answered 302 (2 in a row)")
    assert set(paths) == {"/health"}


async def test_the_path_is_sent_as_it_is_configured() -> None:
    targets = []

    async def handler(request: web.Request) -> web.Response:
        targets.append(request.raw_path)
        return web.Response()

    async with server(handler) as address, checking(config(address, path="/a%2Fb?x=%7e")) as (_, change):
        await change()
    assert set(targets) == {"/a%2Fb?x=%7e"}


async def test_checks_of_one_backend_never_overlap() -> None:
    started = finished = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal started, finished
        started += 1
        assert started == finished + 1
        await asyncio.sleep(0.02)  # many intervals
        finished += 1
        return web.Response()

    async with (
        server(handler) as address,
        checking(config(address, interval_s=0.001, rise=5)) as (_, change),
    ):
        assert await change() == (0, True, "answered 200 (5 in a row)")


async def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(10)
        return web.Response()

    async with (
        server(handler) as address,
        checking(config(address, interval_s=0.001, timeout_s=0.05, fall=2)) as (_, change),
    ):
        assert await change() == (0, False, "no answer to GET /health within 0.05 s (2 in a row)")


async def test_a_refused_connection_is_a_failure() -> None:
    with socket.socket() as bound:  # to a port at which nobody listens
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        async with checking(config(address)) as (_, change):
            assert await change() == (
                0,
                False,
                f"cannot connect to {address}: Connection refused (3 in a row)",
            )


async def test_a_connection_that_closes_without_an_answer_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with raw_server(serve) as address, checking(config(address)) as (_, change):
        expected = "closed the connection without an answer to GET /health (3 in a row)"
        assert await change() == (0, False, expected)


async def test_an_answer_that_is_not_http_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    async with raw_server(serve) as address, checking(config(address)) as (_, change):
        index, healthy, reason = await change()
        assert (index, healthy) == (0, False)
        assert reason.startswith("no valid HTTP answer to GET /health: ")


async def test_a_check_of_kind_tcp_only_connects() -> None:
    silent = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    pools = {"web": {"backends": [address], "health_check": {"kind": "tcp", "interval_s": 0.02, "fall": 2}}}
    settings = Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})
    async with checking(settings) as (_, change):
        assert await change() == (0, True, "accepts connections (2 in a row)")
        silent.close()
        assert await change() == (0, False, f"cannot connect to {address}: Connection refused (2 in a row)")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("path", "healthy"), [("/health", True), ("/gone", False)])
async def test_backends_that_expect_a_proxy_header_get_one(version: Version, path: str, healthy: bool) -> None:
    header = encode(version, None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(header)) == header
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nhost: a.example\r\n" in request
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n" if b" /health " in request else b"HTTP/1.1 404 ?\r\n\r\n")
        await writer.drain()

    async with raw_server(serve) as address:
        settings = config(address, path=path, host="a.example")
        pool = settings.pools["web"].model_copy(update={"send_proxy_protocol": version})
        settings = settings.model_copy(update={"pools": {"web": pool}})
        async with checking(settings) as (_, change):
            words = "answered 204" if healthy else "answered 404 to GET /gone, expected 200-399"
            assert await change() == (0, healthy, f"{words} ({2 if healthy else 3} in a row)")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "answered 204 (2 in a row)"),
        ("b.example", "GET /health failed: the certificate is not accepted: IP address mismatch"),
    ],
)
async def test_tls_comes_behind_the_proxy_header(authority: Authority, host: str, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with guarded(authority.server(authority.issue("backend", host)), serve) as backend:
        pool = {
            "backends": [backend.address],
            "health_check": CHECK,
            "send_proxy_protocol": "v2",
            "tls": {"ca": authority.path},
        }
        listeners = [{"bind": "127.0.0.1:0"}]
        settings = Config.model_validate({"listeners": listeners, "pools": {"web": pool}, "workers": 1})
        async with checking(settings) as (_, change):
            index, healthy, reason = await change()
            assert (index, healthy) == (0, host == "127.0.0.1")
            assert reason.startswith(words)
            assert set(backend.headers) == {None}


async def test_a_host_without_an_address_does_not_stop_the_others() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    async with (
        server(handler) as address,
        checking(config(f"{'x' * 60}.invalid:80", address, rise=5)) as (_, change),
    ):
        changes = [await change(), await change()]
    assert sorted(change[:2] for change in changes) == [(0, False), (1, True)]


async def test_backends_are_checked_side_by_side() -> None:
    together = asyncio.Barrier(3)

    async def handler(_request: web.Request) -> web.Response:
        await together.wait()
        return web.Response()

    async with (
        server(handler) as one,
        server(handler) as two,
        server(handler) as three,
        checking(config(one, two, three, rise=1, interval_s=60)) as (_, change),
    ):
        assert {(await change())[0] for _ in range(3)} == {0, 1, 2}


async def test_pools_without_a_check_stay_unknown_and_run_returns() -> None:
    pools = {"web": {"backends": ["127.0.0.1:1"]}}
    settings = Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})

    def fail(*_change: Any) -> None:
        pytest.fail("no backend is checked")

    checker = HealthChecker(settings, Numbering(settings), fail, Random(1))
    await asyncio.wait_for(checker.run(), 10)
    assert checker.health(0) is Health.UNKNOWN


async def test_the_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)

    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    async with server(handler) as address, checking(config(address)) as (_, change):
        assert (await change())[1]


async def test_changes_are_logged_with_their_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    async with server(handler) as address, checking(config(address, fall=1)) as (_, change):
        await change()
    assert f"backend {address} of pool web is unhealthy: answered 500 to GET /health" in caplog.text


async def test_a_check_that_fails_as_nobody_foresaw_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    check, tried = HealthChecker._check, 0

    async def first_fails(self: HealthChecker, session: Any, member: Any, settings: Any) -> tuple[bool, str]:
        nonlocal tried
        if member.index == 0:
            tried += 1
            raise ZeroDivisionError
        return await check(self, session, member, settings)

    monkeypatch.setattr(HealthChecker, "_check", first_fails)
    async with (
        server(handler) as one,
        server(handler) as two,
        checking(config(one, two, rise=2, interval_s=0.02)) as (checker, change),
    ):
        assert (await change())[:2] == (1, True)
        await eventually(lambda: tried >= 3)
        assert checker.health(0) is Health.UNKNOWN, "of which it says nothing"
        assert checker._guard.errors["a health check"] >= 2
