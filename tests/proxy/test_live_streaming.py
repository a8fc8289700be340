"""Large bodies: passed on whole, in bounded memory, and no faster than the receiver takes them."""

import asyncio
import hashlib

import pytest

from smartlb.core.outcome import Outcome
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, answering, ok

SIZE = 20_000_000
PIECE = bytes(range(256)) * 256
BUFFERED = 1_000_000
"""More than the router may ever hold of one body: a transport's high-water mark and a few reads."""


def pieces() -> list[bytes]:
    return [PIECE] * (SIZE // len(PIECE)) + [PIECE[: SIZE % len(PIECE)]]


DIGEST = hashlib.sha256(b"".join(pieces())).digest()


def framed(chunked: bool) -> tuple[bytes, list[bytes]]:
    """The framing header, and the body's pieces within it."""
    if not chunked:
        return b"content-length: %d" % SIZE, pieces()
    return b"transfer-encoding: chunked", [*(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces()), b"0\r\n\r\n"]


async def digest(reader: asyncio.StreamReader, size: int) -> bytes:
    """The hash of the next `size` bytes."""
    found = hashlib.sha256()
    while size:
        piece = await reader.read(min(size, 65_536))
        assert piece
        found.update(piece)
        size -= len(piece)
    return found.digest()


async def stalled(sent: list[int]) -> None:
    """Return when what was sent has been the same for a while."""
    last = -1
    while last != sent[0]:
        last = sent[0]
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_response(live: Live, chunked: bool) -> None:
    header, body = framed(chunked)

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % header, *body)
        await answering(link)

    origin, router, client = await live.pair(script)
    response = await client.ask(request())
    assert hashlib.sha256(response.body).digest() == DIGEST
    assert (await client.ask(request("POST", "/", body=b"x"))).body == b"x"
    assert len(origin.links) == 1
    large, _ = await router.records(2)
    assert large["response_bytes"] == sum(map(len, body))


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_request(live: Live, chunked: bool) -> None:
    header, body = framed(chunked)
    origin, router, client = await live.pair()
    origin.script = _hashing
    sending = asyncio.create_task(client.send(request("POST", "/", header.decode()), *body))
    assert (await client.response()).body == DIGEST
    await sending
    assert (await client.ask(request("POST", "/", body=PIECE))).body == hashlib.sha256(PIECE).digest()
    assert len(origin.links) == 1
    large, _ = await router.records(2)
    assert large["request_bytes"] == SIZE


async def _hashing(link: Link) -> None:
    while True:
        await link.send(ok(hashlib.sha256((await link.request()).body).digest()))


async def test_a_client_that_does_not_read_stops_the_backend(live: Live) -> None:
    sent = [0]

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        for piece in pieces():
            await link.send(piece)
            sent[0] += len(piece)
        await answering(link)

    origin = await live.origin(script)
    router = await live.router(origin)
    client = await live.slow_client(router)
    await client.send(request())
    await eventually(lambda: sent[0] > 0)
    await stalled(sent)
    (at_router,) = router.worker.admission.clients
    assert 0 < at_router.transport.get_write_buffer_size() < BUFFERED
    assert sent[0] < SIZE
    await client.reader.readuntil(b"\r\n\r\n")
    assert await digest(client.reader, SIZE) == DIGEST
    assert (await client.ask(request("POST", "/", body=b"x"))).body == b"x"
    assert len(origin.links) == 1


async def test_a_response_until_close_for_a_client_that_reads_late(live: Live) -> None:
    """The backend's end comes long before the client has read; nothing is lost."""

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\n", *pieces())

    origin = await live.origin(script)
    router = await live.router(origin)
    client = await live.slow_client(router)
    await client.send(request())
    await eventually(lambda: any(client.write_paused for client in router.worker.admission.clients))
    await client.reader.readuntil(b"\r\n\r\n")
    assert await digest(client.reader, SIZE) == DIGEST
    assert await client.rest() == b""
    record = await router.record()
    assert (record["outcome"], record["response_bytes"]) == (Outcome.COMPLETE, SIZE)


async def test_a_backend_that_does_not_read_stops_the_client(live: Live) -> None:
    read_on = asyncio.Event()

    async def script(link: Link) -> None:
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await read_on.wait()
        link.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await _hashing(link)

    origin, router, client = await live.pair(script)
    sent = [0]

    async def upload() -> None:
        await client.send(request("POST", "/", f"content-length: {SIZE}"))
        for piece in pieces():
            await client.send(piece)
            sent[0] += len(piece)

    sending = asyncio.create_task(upload())
    await eventually(lambda: sent[0] > 0)
    await stalled(sent)
    assert sent[0] < SIZE
    read_on.set()
    assert (await client.response()).body == DIGEST
    await sending
    assert (await client.ask(request("POST", "/", body=b""))).status == 200
    assert len(origin.links) == 1
    assert set(await router.outcomes(2)) == {Outcome.COMPLETE}


async def test_a_client_that_never_reads_cannot_pile_up_responses(live: Live) -> None:
    """Requests one after another are no way around the back-pressure of their responses."""
    body = bytes(200_000)

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await link.send(ok(body))

    origin = await live.origin(script)
    router = await live.router(origin)
    client = await live.slow_client(router)
    for number in range(60):
        await client.send(request("GET", f"/{number}"))
        await asyncio.sleep(0.002)
    (at_router,) = router.worker.admission.clients
    assert at_router.transport.get_write_buffer_size() < BUFFERED
    for _ in range(60):
        assert (await client.response()).body == body
    assert len(origin.requests) == 60


async def test_a_client_that_leaves_while_it_is_waited_for(live: Live) -> None:
    origin = await live.origin()
    ended = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        try:
            await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE, *pieces())
        finally:
            ended.set()

    origin.script = script
    router = await live.router(origin)
    client = await live.slow_client(router)
    await client.send(request())
    await eventually(lambda: any(c.write_paused for c in router.worker.admission.clients))
    client.reset()
    await ended.wait()
    assert (await router.record())["outcome"] is Outcome.CLIENT_GONE


async def test_a_response_that_outlasts_the_upload_has_its_own_time(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await link.reader.readuntil(b"0\r\n\r\n")
        uploaded.set()
        await done.wait()
        await link.send(b"1\r\nb\r\n0\r\n\r\n")
        await link.end()

    uploaded, done = asyncio.Event(), asyncio.Event()
    _origin, router, client = await live.pair(script, pool={"timeouts": {"request_s": None}})
    await client.send(request("POST", "/", "transfer-encoding: chunked") + b"1\r\nx\r\n")
    await client.reader.readuntil(b"a\r\n")
    await client.send(b"1\r\ny\r\n")
    await client.send(b"0\r\n\r\n")
    await uploaded.wait()
    router.sweep(ahead_s=80)  # the client was to go on within 75 s, and has
    done.set()
    assert await client.reader.readuntil(b"0\r\n\r\n") == b"1\r\nb\r\n0\r\n\r\n"
    assert (await router.record())["outcome"] is Outcome.COMPLETE
