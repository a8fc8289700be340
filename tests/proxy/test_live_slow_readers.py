"""Clients that read slowly get all of a response, whatever the router does with their connection afterwards."""

import asyncio
import socket
from typing import Any

import pytest

from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, ok, saying

GET = request()
BODY = bytes(185_000)
"""More than a client has in its own buffers, and so little that the router has all of it soon."""


def _closes(client: Any) -> bool:
    return bool(client._closing)


async def _read_late(router: LiveRouter, client: Client) -> bytes:
    """The body that a client gets which begins to read after the router has begun to close."""
    await eventually(lambda: any(_closes(each) for each in router.worker.admission.clients))
    router.sweep(ahead_s=1.5)
    return (await client.response()).body


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stop_does_not_cut_a_response(live: Live, when: str) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await go.wait()
        await link.send(ok(BODY))
        await link.end()

    router = await live.router(await live.origin(script))
    client = await live.slow_client(router)
    await client.send(GET)
    await eventually(lambda: any(router.in_flight))
    if when == "after":
        router.worker.drain(1.0)
    go.set()
    await eventually(lambda: router.worker.admission.clients and not any(router.in_flight))
    if when == "before":
        router.worker.drain(1.0)
    router.sweep(ahead_s=1.5)
    assert (await client.response()).body == BODY


async def test_a_line_end_too_many_does_not_cut_a_response(live: Live) -> None:
    router = await live.router(await live.origin(saying(ok(BODY))))
    client = await live.slow_client(router)
    await client.send(request("POST", "/", "connection: close", body=b"x") + b"\r\n")
    assert await _read_late(router, client) == BODY


async def test_an_answer_to_half_an_upload_is_whole(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(ok(BODY))
        await link.end()

    router = await live.router(await live.origin(script))
    client = await live.slow_client(router)
    await client.send(request("POST", "/", "content-length: 1000") + b"x" * 10)
    assert await _read_late(router, client) == BODY


async def test_a_response_that_breaks_off_leaves_the_one_before_it_whole(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(ok(BODY))
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

    router = await live.router(await live.origin(script))
    client = await live.slow_client(router)
    await client.send(GET + GET)
    await eventually(lambda: router.worker.admission.clients and not any(router.in_flight))
    assert (await client.response()).body == BODY
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.response()


async def test_another_attempt_is_read_no_faster_than_the_client_reads(live: Live) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: <" + b"a" * 900 + b">\r\n\r\n"

    async def first(link: Link) -> None:
        await link.request()
        await link.send(hint * 230 + b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
        await link.end()

    async def second(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n")
        for _ in range(200):
            await link.send(bytes(100_000))

    origins = [await live.origin(first), await live.origin(second)]
    router = await live.router(*origins, pool={"retries": {"retry_on": ["503"]}, "policy": "round_robin"})
    client = await live.slow_client(router)
    await client.send(GET)
    await eventually(lambda: all(origin.requests for origin in origins))
    await asyncio.sleep(0.3)
    (at_router,) = router.worker.admission.clients
    assert at_router.transport.get_write_buffer_size() < 1_000_000
    client.reset()
    for origin in origins:
        origin.failures.clear()


async def test_a_backend_that_still_takes_a_request_gets_no_other(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(ok(b"fresh"))
        if link.number > 1:
            await link.end()
            return
        await link.head()
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        await link.send(ok(b"early"))
        await asyncio.sleep(0.3)

    _origin, router, client = await live.pair(script)
    await client.ask(GET)
    (connection,) = router.worker.pools["web"].connections._idle[0]
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await client.send(request("PUT", "/", body=bytes(250_000)))
    await eventually(lambda: any(each.exchange and each.exchange.whole for each in router.worker.admission.clients))
    await eventually(lambda: connection.transport.get_write_buffer_size() > 0)
    go.set()
    assert (await client.response()).body == b"early"
    answer = await (await live.client(router)).ask(request("POST", "/", body=b"x"))
    assert (answer.status, answer.body) == (200, b"fresh")
