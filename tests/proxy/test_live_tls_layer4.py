"""TLS of tcp listeners, behind PROXY headers of balancers, and to backends that expect such a header or are no HTTP."""

import asyncio
import socket
import ssl
from typing import Any

import pytest

from smartlb.config.model import Listener
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.wire.proxy_protocol import Endpoints, Version, encode
from smartlb.worker.listening import listen
from tests.authority import Authority
from tests.eventually import eventually
from tests.guarded import guarded
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.message import read_message
from tests.proxy.origin import Link, Origin, ok

HOST = "a.example"
TCP: dict[str, Any] = {"protocol": "tcp", "pool": "web"}
TRUSTED: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
CLAIMED = Endpoints("192.0.2.7", 4711, "198.51.100.1", 443)
VERSIONS: list[Version] = ["v1", "v2"]
LARGE = bytes(range(256)) * 20_000


async def echo(link: Link) -> None:
    while data := await link.reader.read(65_536):
        await link.send(data)
    link.ended = True


async def _listening(
    live: Live, authority: Authority, script: Any = echo, listener: dict[str, Any] = TCP, **settings: Any
) -> tuple[Origin, LiveRouter]:
    origin = await live.origin(script)
    tls = {"certificates": [authority.issue("a", HOST)]}
    return origin, await live.router(origin, listener={**listener, "tls": tls}, **settings)


async def _greeting(live: Live, router: LiveRouter, header: bytes, tls: ssl.SSLContext) -> Client:
    """A client behind a balancer: its TLS handshake comes after the header."""
    client = await live.client(router)
    await client.send(header)
    await client.writer.start_tls(tls, server_hostname=HOST)
    return client


# tcp listeners


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_bytes_both_ways(live: Live, authority: Authority, version: ssl.TLSVersion) -> None:
    _origin, router = await _listening(live, authority)
    tls = authority.client()
    tls.minimum_version = tls.maximum_version = version
    client = await live.client(router, tls, HOST)
    for words in (b"one", b"three"):
        await client.send(words)
        assert await client.reader.readexactly(len(words)) == words
    assert router.gauge(Gauge.TLS_HANDSHAKES) == 1
    assert router.gauge(Gauge.CONNECTIONS) == 1
    await client.close()
    record = await router.record()
    assert (record["outcome"], record["request_bytes"], record["response_bytes"]) == (Outcome.COMPLETE, 8, 8)


async def test_much_both_ways(live: Live, authority: Authority) -> None:
    _origin, router = await _listening(live, authority)
    client = await live.client(router, authority.client(), HOST)
    sent = asyncio.create_task(client.send(LARGE))
    assert await client.reader.readexactly(len(LARGE)) == LARGE
    await sent


async def test_the_router_chooses_no_protocol_that_it_does_not_speak(live: Live, authority: Authority) -> None:
    _origin, router = await _listening(live, authority)
    tls = authority.client()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    client = await live.client(router, tls, HOST)
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None


async def test_the_end_of_the_backend_is_that_of_the_client(live: Live, authority: Authority) -> None:
    async def script(link: Link) -> None:
        await link.send(LARGE)

    _origin, router = await _listening(live, authority, script)
    client = await live.client(router, authority.client(), HOST)
    assert await client.rest() == LARGE
    record = await router.record()
    assert (record["outcome"], record["response_bytes"]) == (Outcome.COMPLETE, len(LARGE))


async def test_a_client_that_ends_has_sent_all_to_the_backend(live: Live, authority: Authority) -> None:
    received = bytearray()

    async def script(link: Link) -> None:
        while data := await link.reader.read(65_536):
            received.extend(data)
        link.ended = True

    origin, router = await _listening(live, authority, script)
    client = await live.client(router, authority.client(), HOST)
    await eventually(lambda: origin.links)
    await client.send(LARGE)
    await client.close()
    assert (await router.record())["outcome"] is Outcome.CLIENT_GONE  # for it waited for no answer
    await eventually(lambda: origin.links[0].ended)
    assert received == LARGE


async def test_a_backend_that_breaks_off(live: Live, authority: Authority) -> None:
    async def script(link: Link) -> None:
        await link.reader.readexactly(2)
        await link.send(b"half")
        await link.reader.readexactly(2)
        link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.reset()

    _origin, router = await _listening(live, authority, script)
    client = await live.client(router, authority.client(), HOST)
    await client.send(b"go")
    assert await client.reader.readexactly(4) == b"half"
    await client.send(b"on")
    with pytest.raises(OSError):
        await client.rest()
    assert (await router.record())["outcome"] is Outcome.TRUNCATED


async def test_a_client_without_the_certificate_that_is_asked_for(live: Live, authority: Authority) -> None:
    origin = await live.origin(echo)
    tls = {
        "certificates": [authority.issue("a", HOST)],
        "client_certificate": "required",
        "client_ca": authority.path,
    }
    router = await live.router(origin, listener={**TCP, "tls": tls})
    known = await live.client(router, authority.client(authority.issue("alice", "alice.example")), HOST)
    await known.send(b"x")
    assert await known.reader.readexactly(1) == b"x"
    unknown = await live.client(router, authority.client(), HOST)
    assert await unknown.cut() == b""
    assert len(origin.links) == 1
    await eventually(lambda: router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == 1)


# Behind a PROXY header


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_behind_a_header(live: Live, authority: Authority, version: Version) -> None:
    origin, router = await _listening(live, authority, _answer, TRUSTED)
    client = await _greeting(live, router, encode(version, CLAIMED), authority.client())
    for _ in range(2):
        assert (await client.ask(request())).status == 200
    for message in origin.requests:
        assert message.header(b"x-forwarded-for") == b"192.0.2.7"
        assert message.header(b"x-forwarded-proto") == b"https"


async def _answer(link: Link) -> None:
    while True:
        await link.send(ok((await link.request()).body))


async def test_connections_behind_a_header(live: Live, authority: Authority) -> None:
    _origin, router = await _listening(live, authority, echo, {**TRUSTED, **TCP})
    client = await _greeting(live, router, encode("v2", CLAIMED), authority.client())
    await client.send(b"x")
    assert await client.reader.readexactly(1) == b"x"


async def test_a_handshake_without_a_header_is_refused(live: Live, authority: Authority) -> None:
    origin, router = await _listening(live, authority, _answer, TRUSTED)
    with pytest.raises(OSError):
        await live.client(router, authority.client(), HOST)
    assert (await router.record())["outcome"] is Outcome.BAD_REQUEST
    assert not origin.links
    assert router.gauge(Gauge.TLS_HANDSHAKES_FAILED) == 0


async def test_a_drain_ends_connections_whose_header_has_not_come(live: Live) -> None:
    router = await live.router(await live.origin(), listener=TRUSTED)
    client = await live.client(router)
    await eventually(lambda: router.worker.admission.handshakes)
    router.worker.drain()
    assert await client.cut() == b""
    await eventually(lambda: not router.worker.admission.handshakes)


async def test_connections_whose_header_has_not_come_count(live: Live) -> None:
    router = await live.router(await live.origin(), listener=TRUSTED, limits={"connections": 1})
    silent = await live.client(router)
    await eventually(lambda: router.worker.admission.handshakes)
    assert await (await live.client(router)).cut() == b""
    assert router.gauge(Gauge.CONNECTIONS_REFUSED) == 1
    silent.reset()
    await eventually(lambda: not router.worker.admission.handshakes)


# Backends


async def _echo_messages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(ok((await read_message(reader, request=True)).body))


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_to_backends_with_tls_behind_a_header(
    live: Live, authority: Authority, version: Version
) -> None:
    async with guarded(authority.server(authority.issue("backend", "127.0.0.1")), _echo_messages) as backend:
        pool = {"send_proxy_protocol": version, "tls": {"ca": authority.path}}
        router = await live.router(backend.address, pool=pool)
        client = await live.client(router)
        for _ in range(2):
            assert (await client.ask(request("POST", "/", body=b"x"))).body == b"x"
        port = client.writer.get_extra_info("sockname")[1]
        assert backend.headers == [Endpoints("127.0.0.1", port, "127.0.0.1", router.port)] * 2


async def test_connections_to_backends_with_tls_behind_a_header(live: Live, authority: Authority) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))

    async with guarded(authority.server(authority.issue("backend", "127.0.0.1")), serve) as backend:
        pool = {"send_proxy_protocol": "v2", "tls": {"ca": authority.path}}
        router = await live.router(backend.address, pool=pool, listener={**TRUSTED, **TCP})
        client = await live.client(router)
        await client.send(encode("v1", CLAIMED) + b"hello")
        assert await client.rest() == b"hello"
        assert backend.headers == [CLAIMED]
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def _guarded_origin(live: Live, authority: Authority, script: Any = echo) -> Origin:
    return await live.origin(script, tls=authority.server(authority.issue("backend", "127.0.0.1")))


async def test_connections_to_backends_with_tls(live: Live, authority: Authority) -> None:
    origin = await _guarded_origin(live, authority)
    router = await live.router(origin, pool={"tls": {"ca": authority.path}}, listener=TCP)
    client = await live.client(router)
    await client.send(b"hello")
    assert await client.reader.readexactly(5) == b"hello"
    client.writer.write_eof()
    assert await client.rest() == b""
    assert (await router.record())["outcome"] is Outcome.COMPLETE
    await eventually(lambda: origin.links[0].ended)


async def test_tls_on_both_sides_of_a_connection(live: Live, authority: Authority) -> None:
    async def greet(link: Link) -> None:
        await link.send(LARGE)
        await link.reader.readexactly(2)

    origin = await _guarded_origin(live, authority, greet)
    tls = {"certificates": [authority.issue("a", HOST)]}
    router = await live.router(origin, pool={"tls": {"ca": authority.path}}, listener={**TCP, "tls": tls})
    client = await live.client(router, authority.client(), HOST)
    assert await client.reader.readexactly(len(LARGE)) == LARGE
    await client.send(b"ok")
    assert await client.rest() == b""
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def test_a_backend_that_is_not_trusted_gets_no_connection(live: Live, authority: Authority) -> None:
    origin = await _guarded_origin(live, authority)
    pool = {"tls": {"ca": authority.path, "server_name": "b.example"}}
    router = await live.router(origin, pool=pool, listener=TCP)
    assert await (await live.client(router)).cut() == b""
    assert (await router.record())["outcome"] is Outcome.CONNECT_FAILED


# The queue of a pool that serves both


async def test_a_connection_gives_its_place_to_a_request_of_higher_priority(live: Live) -> None:
    go_on = asyncio.Event()

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await go_on.wait()
            await link.send(ok())

    origin = await live.origin(script)
    backend = {"address": origin.address, "max_in_flight": 1}
    routes = [{"name": "all", "pool": "web", "priority": 1}]
    router = await live.router(backend, pool={"queue": {"max_waiting": 1}}, routes=routes)
    bound = socket.create_server(("127.0.0.1", 0))
    listener = Listener.model_validate({"bind": "127.0.0.1:0", **TCP})
    listening = await listen(router.worker.front, router.worker.pools, listener, 1, bound, alone=True)
    first, second = await live.client(router), await live.client(router)
    await first.send(request())
    await eventually(lambda: origin.requests)
    waiting = Client(*await asyncio.open_connection(*bound.getsockname()))
    live.clients.append(waiting)
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    await second.send(request())
    assert await waiting.cut() == b""
    go_on.set()
    assert [(await client.response()).status for client in (first, second)] == [200, 200]
    assert sorted(await router.outcomes(3)) == [Outcome.COMPLETE, Outcome.COMPLETE, Outcome.QUEUE_FULL]
    listening.close()
