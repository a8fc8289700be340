"""TLS through a tcp listener that chooses the pool by the host in the greeting, with real handshakes."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_ROUTE
from smartlb.layer4.tcp import Destination
from smartlb.wire.client_hello import LONGEST_HELLO
from tests.proxy.live import Client, Live, LiveRouter
from tests.wire.test_client_hello import greeting, in_records

HOSTS = {"a.example.com": "exact", "*.example.com": "below", "*.deep.example.com": "deeper"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    file, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", file, "-days", "2", "-subj", "/CN=test"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    file.write_text(file.read_text() + key.read_text())
    return file


class Site:
    """A router with one TLS server for each pool, which says its pool's name."""

    def __init__(self, router: LiveRouter) -> None:
        self.router = router

    async def ask(self, host: str | None) -> bytes:
        """What the server says that a client of `host` gets to."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.router.port, ssl=context, server_hostname=host or ""
            )
            said = await reader.readline()
            writer.close()
            return said.strip()


@asynccontextmanager
async def _site(live: Live, certificate: Path, **listener: Any) -> AsyncIterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    addresses, servers = {}, []
    for pool in ("exact", "below", "deeper", "rest"):
        say = f"{pool}\n".encode()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, say: bytes = say) -> None:
            writer.write(say)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        addresses[pool] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    pools = {pool: {"backends": [address], "policy": "round_robin"} for pool, address in addresses.items()}
    listener = {"protocol": "tcp", "sni": HOSTS, "pool": "rest", **listener}
    try:
        yield Site(await live.router(listener=listener, pools=pools))
    finally:
        for server in servers:
            server.close()


async def test_each_host_gets_to_its_pool(live: Live, certificate: Path) -> None:
    expected = {
        "a.example.com": b"exact",
        "A.EXAMPLE.com": b"exact",
        "b.example.com": b"below",
        "x.y.example.com": b"below",
        "x.deep.example.com": b"deeper",
        "deep.example.com": b"below",
        "example.com": b"rest",
        "elsewhere.org": b"rest",
        None: b"rest",
    }
    async with _site(live, certificate) as site:
        for host, pool in expected.items():
            assert await site.ask(host) == pool, host
        records = await site.router.records(len(expected))
    assert {record["outcome"] for record in records} <= {Outcome.COMPLETE, Outcome.CLIENT_GONE}
    assert {record["route"] for record in records} == {0}
    assert {record["backend"] for record in records} == {0, 1, 2, 3}


async def test_openssl_gets_through(live: Live, certificate: Path) -> None:
    async with _site(live, certificate) as site:
        router = f"127.0.0.1:{site.router.port}"
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", router, "-servername", "b.example.com", "-quiet"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"below\n"
        process.terminate()
        await process.wait()
        await site.router.record()


async def test_a_greeting_in_pieces(live: Live) -> None:
    received = asyncio.get_running_loop().create_future()
    hello = in_records(greeting("a.example.com"), 100)

    async def script(link: Any) -> None:
        received.set_result(await link.reader.readexactly(len(hello)))

    origin = await live.origin(script)
    pools = {"one": {"backends": [origin.address]}}
    router = await live.router(listener={"protocol": "tcp", "sni": {"a.example.com": "one"}}, pools=pools)
    client = await live.client(router)
    for at in range(0, len(hello), 40):
        await client.send(hello[at : at + 40])
        await asyncio.sleep(0.002)
    assert await asyncio.wait_for(received, 10) == hello
    await client.cut()
    await router.record()


async def _refused(live: Live, data: bytes, *, end: bool = False, **settings: Any) -> tuple[LiveRouter, Client]:
    origin = await live.origin()
    pools = {"one": {"backends": [origin.address]}}
    listener = {"protocol": "tcp", "sni": {"a.example.com": "one"}}
    router = await live.router(listener=listener, pools=pools, **settings)
    client = await live.client(router)
    await client.send(data)
    if end:
        client.writer.write_eof()
    return router, client


@pytest.mark.parametrize(
    ("data", "end", "outcome"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False, Outcome.BAD_REQUEST),
        (greeting("b.example.com"), False, Outcome.NO_ROUTE),
        (greeting(None), False, Outcome.NO_ROUTE),
        (greeting("a.example.com")[:100], True, Outcome.CLIENT_GONE),
        (b"", True, Outcome.CLIENT_GONE),
        (b"\x16\x03\x01\x40\x00\x01\x00\x3f\xff" + bytes(LONGEST_HELLO), False, Outcome.BAD_REQUEST),
    ],
    ids=["no TLS", "another host", "no host", "half a greeting", "nothing", "too long"],
)
async def test_what_is_refused(live: Live, data: bytes, end: bool, outcome: Outcome) -> None:
    router, client = await _refused(live, data, end=end)
    assert await client.cut() == b""
    record = await router.record()
    assert (record["outcome"], record["route"], record["status"]) == (outcome, NO_ROUTE, 0)


async def test_a_greeting_that_does_not_come_in_time(live: Live) -> None:
    router, client = await _refused(live, greeting("a.example.com")[:100], timeouts={"header_s": 10})
    await asyncio.sleep(0.05)
    router.sweep(ahead_s=11)
    assert await client.cut() == b""
    assert (await router.record())["outcome"] is Outcome.CLIENT_TIMEOUT


async def test_a_drain_closes_those_that_have_said_nothing(live: Live) -> None:
    router, client = await _refused(live, b"")
    await asyncio.sleep(0.05)
    router.worker.drain()
    assert await client.cut() == b""


def test_no_host_and_no_default() -> None:
    assert Destination(None, {}).pool("") is None
