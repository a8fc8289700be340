"""PROXY headers from trusted balancers and to backends, over http and tcp listeners."""

import asyncio
import logging
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.wire.proxy_protocol import Endpoints, Version, encode, parse
from tests.eventually import eventually
from tests.proxy.live import Client, Live, request
from tests.proxy.origin import Link, ok

TRUSTED: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
CLAIMED = Endpoints("192.0.2.7", 4711, "198.51.100.1", 443)
VERSIONS: list[Version] = ["v1", "v2"]


async def echo(link: Link) -> None:
    while data := await link.reader.read(65_536):
        await link.send(data)


class Greeted:
    """A backend that expects a PROXY header, and keeps what each connection's said."""

    def __init__(self) -> None:
        self.headers: list[Endpoints | None] = []

    async def http(self, link: Link) -> None:
        await self._header(link)
        while True:
            await link.send(ok((await link.request()).body))

    async def tcp(self, link: Link) -> None:
        await self._header(link)
        await echo(link)

    async def _header(self, link: Link) -> None:
        data = b""
        while (header := parse(data)) is None:
            data += await link.reader.readexactly(1)
        assert header[0] == len(data)
        self.headers.append(header[1])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pieces", ["one", "two", "bytes"])
async def test_requests_have_the_address_that_was_claimed(live: Live, version: Version, pieces: str) -> None:
    origin, router, client = await live.pair(listener=TRUSTED)
    header, get = encode(version, CLAIMED), request()
    match pieces:
        case "one":
            await client.send(header + get)
        case "two":
            await client.send(header[:9])
            await asyncio.sleep(0.02)
            await client.send(header[9:] + get[:5], get[5:])
        case "bytes":
            for at in range(len(header)):
                await client.send(header[at : at + 1])
            await client.send(get)
    assert (await client.response()).status == 200
    assert (await client.ask(get)).status == 200
    assert [message.header(b"x-forwarded-for") for message in origin.requests] == [b"192.0.2.7"] * 2
    assert set(await router.outcomes(2)) == {Outcome.COMPLETE}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_connection_of_the_balancers_own_has_its_own_address(live: Live, version: Version) -> None:
    origin, _router, client = await live.pair(listener=TRUSTED)
    assert (await client.ask(encode(version, None) + request())).status == 200
    assert origin.requests[0].header(b"x-forwarded-for") == b"127.0.0.1"


async def test_a_claimed_client_is_no_trusted_proxy(live: Live) -> None:
    origin, _router, client = await live.pair(listener=TRUSTED)
    message = request("GET", "/", "x-forwarded-for: 203.0.113.9")
    assert (await client.ask(encode("v1", CLAIMED) + message)).status == 200
    assert origin.requests[0].header(b"x-forwarded-for") == b"192.0.2.7"


async def test_a_peer_that_is_not_trusted_is_closed(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    origin = await live.origin()
    router = await live.router(origin, listener={"proxy_protocol": True, "trusted_proxies": ["192.0.2.1"]})
    for _ in range(3):
        client = await live.client(router)
        client.writer.write(encode("v1", CLAIMED) + request())
        assert await client.cut() == b""
    assert await router.outcomes(3) == [Outcome.BAD_REQUEST] * 3
    assert not origin.links
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["connection from 127.0.0.1 closed: it is not in the listener's trusted_proxies"]


async def test_a_connection_without_a_header_is_closed(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    origin, router, client = await live.pair(listener=TRUSTED)
    client.writer.write(request())
    assert await client.cut() == b""
    assert (await router.record())["outcome"] is Outcome.BAD_REQUEST
    assert not origin.links
    assert "closed: it does not begin with a PROXY header but with b'GET / HTTP/1'" in caplog.text


async def test_a_header_that_does_not_come_in_time(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    _origin, router, client = await live.pair(listener=TRUSTED, timeouts={"header_s": 0.05})
    client.writer.write(b"PROXY TCP4")
    assert await client.cut() == b""
    assert (await router.record())["outcome"] is Outcome.BAD_REQUEST
    assert "its PROXY header did not come in time" in caplog.text


async def test_a_check_that_only_connects_leaves_no_trace(live: Live) -> None:
    _origin, router, client = await live.pair(listener=TRUSTED)
    await client.close()
    other = await live.client(router)
    assert (await other.ask(encode("v2", CLAIMED) + request())).status == 200
    assert (await router.record())["outcome"] is Outcome.COMPLETE


@pytest.mark.parametrize("version", VERSIONS)
async def test_over_tcp_in_and_out(live: Live, version: Version) -> None:
    greeted = Greeted()
    _origin, router, client = await live.pair(
        greeted.tcp, listener={**TRUSTED, "protocol": "tcp", "pool": "web"}, pool={"send_proxy_protocol": version}
    )
    await client.send(encode(version, CLAIMED) + b"hello")
    client.writer.write_eof()
    assert await client.rest() == b"hello"
    assert greeted.headers == [CLAIMED]
    record = await router.record()
    assert (record["outcome"], record["request_bytes"]) == (Outcome.COMPLETE, 5)


async def test_one_address_one_backend(live: Live) -> None:
    origins = [await live.origin(echo) for _ in range(4)]
    router = await live.router(
        *origins, listener={**TRUSTED, "protocol": "tcp", "pool": "web"}, pool={"policy": "ip_hash"}
    )
    for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"):
        backends = set()
        for port in range(3):
            client = await live.client(router)
            await client.send(encode("v2", Endpoints(source, port, "198.51.100.1", 443)) + b"x")
            client.writer.write_eof()
            assert await client.rest() == b"x"
            backends.add((await router.record())["backend"])
        assert len(backends) == 1
    assert sum(bool(origin.links) for origin in origins) > 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_to_backends_that_expect_a_header(live: Live, version: Version) -> None:
    greeted = Greeted()
    origin, router, client = await live.pair(greeted.http, pool={"send_proxy_protocol": version})
    second = await live.client(router)
    for asking in (client, client, second):
        assert (await asking.ask(request("POST", "/", body=b"x"))).body == b"x"
    assert len(origin.links) == 3  # one client's connection is not another's
    ports = [_port(client), _port(client), _port(second)]
    assert greeted.headers == [Endpoints("127.0.0.1", port, "127.0.0.1", router.port) for port in ports]
    await eventually(lambda: all(link.ended for link in origin.links))


def _port(client: Client) -> int:
    return int(client.writer.get_extra_info("sockname")[1])
