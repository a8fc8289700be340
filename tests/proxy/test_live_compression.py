"""Compressed responses over real sockets, decoded by the encodings' own libraries."""

import asyncio
import gzip
import random
import shutil
import subprocess
from collections.abc import Callable

import brotli
import pytest
import zstandard

from smartlb.core.outcome import Outcome
from tests.eventually import eventually
from tests.proxy.http2_client import Http2Client
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, Script, answering, saying

ROUTES = [{"name": "all", "pool": "web", "compression": {}}]
TEXT = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(2_000))
TYPE = b"content-type: text/plain\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (TYPE, len(TEXT), TEXT)
CHUNKED = b"HTTP/1.1 200 OK\r\n%stransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (TYPE, len(TEXT), TEXT)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n%s\r\n%s" % (TYPE, TEXT)


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


DECODE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": unzstd}


@pytest.mark.parametrize("raw", [WHOLE, CHUNKED, UNTIL_CLOSE], ids=["whole", "chunked", "until close"])
@pytest.mark.parametrize("encoding", DECODE)
async def test_every_encoding_of_every_body(live: Live, encoding: str, raw: bytes) -> None:
    script = saying(raw, then_close=raw is UNTIL_CLOSE)
    _origin, router, client = await live.pair(script, routes=ROUTES)
    for _ in range(2):
        answer = await client.ask(request("GET", "/", f"accept-encoding: {encoding}"))
        assert answer.header(b"content-encoding") == encoding.encode()
        assert answer.header(b"content-length") is None
        assert answer.header(b"vary") == b"accept-encoding"
        assert len(answer.body) < len(TEXT) / 4
        assert DECODE[encoding](answer.body) == TEXT
    assert await router.outcomes(2) == [Outcome.COMPLETE] * 2


async def test_who_does_not_ask_for_it_gets_it_as_it_is(live: Live) -> None:
    _origin, _router, client = await live.pair(saying(WHOLE), routes=ROUTES)
    answer = await client.ask(request())
    assert (answer.body, answer.header(b"content-encoding")) == (TEXT, None)
    assert answer.header(b"vary") == b"accept-encoding"


async def test_a_head_has_no_body(live: Live) -> None:
    head = WHOLE[: WHOLE.index(b"\r\n\r\n") + 4]
    _origin, _router, client = await live.pair(saying(head), routes=ROUTES)
    for _ in range(2):
        answer = await client.ask(request("HEAD", "/", "accept-encoding: gzip"))
        assert (answer.body, answer.header(b"content-encoding")) == (b"", b"gzip")
        assert answer.header(b"content-length") is None


async def test_an_old_client_gets_it_as_it_is(live: Live) -> None:
    _origin, _router, client = await live.pair(saying(WHOLE), routes=ROUTES)
    await client.send(b"GET / HTTP/1.0\r\naccept-encoding: gzip\r\n\r\n")
    assert (await client.rest()).endswith(TEXT)


@pytest.mark.parametrize("encoding", DECODE)
async def test_each_piece_of_a_stream_comes_at_once(live: Live, encoding: str) -> None:
    more = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await link.send(b"9\r\ndata: 1\n\n\r\n")
        await more.wait()
        await link.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    _origin, _router, client = await live.pair(script, routes=ROUTES)
    await client.send(request("GET", "/", f"accept-encoding: {encoding}"))
    async with asyncio.timeout(10):
        assert b"content-encoding" in await client.reader.readuntil(b"\r\n\r\n")
        first = await client.reader.readexactly(int(await client.reader.readuntil(b"\r\n"), 16))
        await client.reader.readexactly(2)
        more.set()
        rest = b""
        while size := int(await client.reader.readuntil(b"\r\n"), 16):
            rest += await client.reader.readexactly(size)
            await client.reader.readexactly(2)
    assert DECODE[encoding](first + rest) == b"data: 1\n\ndata: 2\n\n"


async def test_a_response_that_breaks_off_is_not_ended(live: Live) -> None:
    _origin, router, client = await live.pair(saying(WHOLE[:-10], then_close=True), routes=ROUTES)
    await client.send(request("GET", "/", "accept-encoding: gzip"))
    assert not (await client.cut()).endswith(b"0\r\n\r\n")
    assert (await router.record())["outcome"] == Outcome.TRUNCATED


@pytest.mark.parametrize("encoding", DECODE)
async def test_a_large_body_for_a_slow_reader(live: Live, encoding: str) -> None:
    noise = random.Random(1).randbytes(3_000_000)
    head = b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n" % (TYPE, len(noise))
    router = await live.router(await live.origin(saying(head, noise)), routes=ROUTES)
    client = await live.slow_client(router)
    await client.send(request("GET", "/", f"accept-encoding: {encoding}"))
    (at_router,) = router.worker.admission.clients
    await eventually(lambda: at_router.write_paused)
    assert at_router.transport.get_write_buffer_size() < 1_000_000
    answer = await client.response()
    assert DECODE[encoding](answer.body) == noise
    assert (await router.record())["response_bytes"] == len(noise)
    assert (await client.ask(request())).body == noise, "the backend's connection is good for another request"
    await router.record()


async def test_several_lines_of_what_is_accepted(live: Live) -> None:
    _origin, _router, client = await live.pair(saying(WHOLE), routes=ROUTES)
    answer = await client.ask(request("GET", "/", "accept-encoding: deflate", "accept-encoding: br"))
    assert answer.header(b"content-encoding") == b"br"


async def test_over_http2(live: Live) -> None:
    origin = await live.origin(saying(WHOLE))
    router = await live.router(origin, routes=ROUTES)
    client = await Http2Client(await live.client(router)).start()
    answer = await client.ask(b"GET", b"/", (b"accept-encoding", b"br"))
    assert answer.header(b"content-encoding") == [b"br"]
    assert brotli.decompress(answer.body) == TEXT


async def test_a_retried_request_is_compressed_once(live: Live) -> None:
    failing = await live.origin(saying(b"HTTP/1.1 503 X\r\n%scontent-length: 2000\r\n\r\n%s" % (TYPE, b"x" * 2000)))
    serving = await live.origin(saying(WHOLE))
    pool = {"retries": {"retry_on": ["503"], "max_attempts": 3}}
    router = await live.router(failing, serving, pool=pool, routes=ROUTES)
    client = await live.client(router)
    for _ in range(2):
        answer = await client.ask(request("GET", "/", "accept-encoding: gzip"))
        assert gzip.decompress(answer.body) == TEXT
    await router.records(len(router._taken()))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("encoding", [[], ["gzip"], ["br"]], ids=str)
@pytest.mark.parametrize("script", [saying(WHOLE), saying(CHUNKED)])
async def test_curl_reads_it(live: Live, script: Script, encoding: list[str]) -> None:
    routes = [{"name": "all", "pool": "web", "compression": {"encodings": encoding} if encoding else {}}]
    router = await live.router(await live.origin(script), routes=routes)
    command = ["curl", "-s", "--compressed", "-m", "10", f"http://127.0.0.1:{router.port}/"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    assert done.stdout == TEXT


async def test_plain_routes_know_nothing_of_it(live: Live) -> None:
    _origin, _router, client = await live.pair(answering)
    answer = await client.ask(request("POST", "/", "accept-encoding: gzip", body=b"x" * 5_000))
    assert (answer.body, answer.header(b"vary")) == (b"x" * 5_000, None)
