"""WebSocket and other upgrades: tunnels once the backend has agreed, ordinary exchanges where it has not."""

import asyncio
import gzip
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import websockets
from aiohttp import web
from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from smartlb.core.outcome import Outcome
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.message import Message
from tests.proxy.origin import Link, Origin, Script, answering, ok

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both from RFC 6455 section 1.3
HANDSHAKE = request("GET", "/chat", "Connection: Upgrade", "Upgrade: websocket", KEY, "Sec-WebSocket-Version: 13")
TCP = request("POST", "/attach", "Connection: Upgrade", "Upgrade: tcp")


def switching(*lines: bytes) -> bytes:
    """A 101 with these header lines."""
    return b"".join(line + b"\r\n" for line in (b"HTTP/1.1 101 Switching Protocols", *lines, b""))


AGREED = switching(b"Connection: Upgrade", b"Upgrade: websocket", ACCEPT)
AGREED_TCP = switching(b"Connection: Upgrade", b"Upgrade: tcp")


def then(*pieces: bytes, go_on: Callable[[Link], Awaitable[None]] = Link.end) -> Script:
    """A script that answers one request with `pieces`, and goes on."""

    async def script(link: Link) -> None:
        await link.request()
        await link.send(*pieces)
        await go_on(link)

    return script


async def echo(link: Link) -> None:
    """Send back what comes, until its end."""
    while data := await link.reader.read(65_536):
        await link.send(data)


async def opened(client: Client, handshake: bytes = HANDSHAKE) -> bytes:
    """The head that opens the tunnel."""
    await client.send(handshake)
    async with asyncio.timeout(10):
        head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return head


async def received(client: Client, size: int) -> bytes:
    async with asyncio.timeout(10):
        return await client.reader.readexactly(size)


# With WebSocket libraries


async def repeat(socket: ServerConnection) -> None:
    """Echo every message; `leave` closes with a code of its own, `vanish` without a word."""
    with suppress(websockets.ConnectionClosed):
        async for message in socket:
            if message == "leave":
                await socket.close(4321, "as you wish")
            elif message == "vanish":
                socket.transport.abort()
            else:
                await socket.send(message)


@asynccontextmanager
async def websocket_router(live: Live) -> AsyncIterator[tuple[LiveRouter, str]]:
    """A router before a server of the library `websockets`, and its URL."""
    async with serve(repeat, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        router = await live.router(f"127.0.0.1:{port}")
        yield router, f"ws://127.0.0.1:{router.port}/chat?a=b"


async def test_echo_ping_and_close(live: Live) -> None:
    async with websocket_router(live) as (router, url):
        async with connect(url, max_size=None, compression=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            await (await socket.ping(b"there?"))
            for size in (0, 125, 126, 65_536, 5_000_000):
                await socket.send(bytes(size))
                assert await socket.recv() == bytes(size)
            assert router.in_flight == [1]
            await socket.close(4000, "done")
            assert (socket.close_code, socket.close_reason) == (4000, "done")
        record = await router.record()
    assert (record["outcome"], record["status"], record["attempt"]) == (Outcome.COMPLETE, 101, 1)
    assert record["request_bytes"] > 5_000_000
    assert record["response_bytes"] > 5_000_000
    assert 0 < record["first_byte_s"] < record["total_s"]


async def _closed(socket: WebSocket) -> websockets.ConnectionClosed:
    with pytest.raises(websockets.ConnectionClosed) as caught:
        async with asyncio.timeout(10):
            await socket.recv()
    return caught.value


async def test_the_servers_close_code_reaches_the_client(live: Live) -> None:
    async with websocket_router(live) as (router, url):
        async with connect(url) as socket:
            await socket.send("leave")
            closed = await _closed(socket)
            assert closed.rcvd is not None
            assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as you wish")
        assert (await router.record())["outcome"] == Outcome.COMPLETE


async def test_the_server_goes_away(live: Live) -> None:
    async with websocket_router(live) as (router, url):
        async with connect(url) as socket:
            await socket.send("vanish")
            assert (await _closed(socket)).rcvd is None
        assert (await router.record())["status"] == 101


async def test_the_client_goes_away(live: Live) -> None:
    async with websocket_router(live) as (router, url):
        async with connect(url) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            socket.transport.abort()
        assert (await router.record())["status"] == 101
        assert router.in_flight == [0]


async def test_aiohttp_on_both_sides(live: Live) -> None:
    async def handle(asked: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(asked)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/chat", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    router = await live.router(f"127.0.0.1:{runner.addresses[0][1]}")
    url = f"ws://127.0.0.1:{router.port}/chat"
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, protocols=("chat",), compress=15) as socket:
            assert socket.protocol == "chat"
            for text in ("one", "two" * 100_000):
                await socket.send_str(text)
                assert await socket.receive_str() == text
            await socket.close(code=4000)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"ws://127.0.0.1:{router.port}/elsewhere")
        assert refused.value.status == 404
    await runner.cleanup()


# Opening


async def test_the_handshake_as_the_backend_and_the_client_see_it(live: Live) -> None:
    origin, _router, client = await live.pair(then(AGREED, go_on=echo))
    head = await opened(client)
    forwarded = origin.requests[0]
    assert forwarded.header(b"connection") == b"upgrade"
    assert forwarded.header(b"upgrade") == b"websocket"
    assert forwarded.header(b"sec-websocket-key") == b"dGhlIHNhbXBsZSBub25jZQ=="
    lines = head.lower().split(b"\r\n")
    assert lines.count(b"connection: upgrade") == lines.count(b"upgrade: websocket") == 1
    assert ACCEPT.lower() in lines


async def test_what_came_with_the_101_and_before_it_goes_through(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await go.wait()
        await link.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", AGREED + b"first")
        await echo(link)

    _origin, router, client = await live.pair(script)
    await client.send(HANDSHAKE + b"GET / early")
    go.set()
    async with asyncio.timeout(10):
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 103 ")
        await client.reader.readuntil(b"\r\n\r\n")
    assert await received(client, 16) == b"firstGET / early"
    await client.close()
    record = await router.record()
    assert (record["request_bytes"], record["response_bytes"]) == (11, 16)


async def test_an_interim_response_in_the_same_piece(live: Live) -> None:
    _origin, _router, client = await live.pair(then(b"HTTP/1.1 100 Continue\r\n\r\n" + AGREED + b"x"))
    await client.send(HANDSHAKE)
    async with asyncio.timeout(10):
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await received(client, 1) == b"x"


async def test_another_protocol_where_it_is_allowed(live: Live) -> None:
    origin, _router, client = await live.pair(then(AGREED_TCP, go_on=echo), pool={"upgrades": ["TCP"]})
    await opened(client, TCP)
    assert origin.requests[0].header(b"upgrade") == b"tcp"
    await client.send(b"ping")
    assert await received(client, 4) == b"ping"


async def test_an_upgrade_goes_to_another_backend_where_the_first_is_gone(live: Live) -> None:
    origin, gone = await live.origin(then(AGREED, go_on=echo)), await live.origin()
    gone.close_listener()
    router = await live.router(gone, origin)
    client = await live.client(router)
    await opened(client)
    await client.send(b"ping")
    assert await received(client, 4) == b"ping"
    assert router.worker.pools["web"].retries.active == 0
    await client.close()
    assert await router.outcomes(2) == [Outcome.CONNECT_FAILED, Outcome.COMPLETE]
    assert router.worker.pools["web"].retries.active == 0


# On routes that do more than hand requests to their pool


async def test_a_handshake_is_rewritten_and_its_headers_edited(live: Live) -> None:
    route = {
        "name": "chat",
        "match": {"path_prefix": "/chat"},
        "rewrite": {"prefix": "/v2/rooms"},
        "set_request_headers": {"x-tenant": "a"},
        "remove_response_headers": ["server"],
        "set_response_headers": {"x-served": "yes"},
        "split": {"web": 1},
    }
    agreed = AGREED[:-2] + b"Server: x\r\n\r\n"
    origin, router, client = await live.pair(then(agreed, go_on=echo), routes=[route])
    head = (await opened(client)).lower()
    assert b"\r\nx-served: yes\r\n" in head
    assert b"\r\nserver:" not in head
    assert head.count(b"\r\nupgrade: websocket\r\n") == 1
    forwarded = origin.requests[0]
    assert forwarded.start == b"GET /v2/rooms HTTP/1.1"
    assert forwarded.header(b"x-tenant") == b"a"
    assert forwarded.header(b"upgrade") == b"websocket"
    await client.send(b"ping")
    assert await received(client, 4) == b"ping"
    await client.close()
    assert (await router.record())["status"] == 101


async def test_a_tunnel_goes_where_affinity_says(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFINITY_SECRET", "0123456789abcdef")
    origins = [await live.origin(then(AGREED + b"%d" % number)) for number in range(3)]
    pool = {"affinity": {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}}
    router = await live.router(*origins, pool=pool)
    client = await live.client(router)
    found = re.search(rb"\r\nset-cookie: ([^;]+);", await opened(client))
    assert found
    bound = await received(client, 1)
    for _ in range(4):
        client = await live.client(router)
        head = await opened(client, HANDSHAKE[:-2] + b"Cookie: %s\r\n\r\n" % found[1])
        assert b"set-cookie" not in head
        assert await received(client, 1) == bound


async def test_a_tunnel_is_not_mirrored_and_a_refused_one_is_compressed(live: Live) -> None:
    text = b"no chat here " * 500
    refusal = b"HTTP/1.1 403 X\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
    copies = await live.origin()
    origin = await live.origin(then(refusal))
    router = await live.router(
        origin,
        pools={"web": {"backends": [origin.address]}, "shadow": {"backends": [copies.address]}},
        routes=[{"name": "all", "pool": "web", "mirror": {"pool": "shadow"}, "compression": {}}],
    )
    client = await live.client(router)
    answer = await client.ask(HANDSHAKE[:-2] + b"Accept-Encoding: gzip\r\n\r\n")
    assert (answer.status, gzip.decompress(answer.body)) == (403, text)
    assert (await router.record())["status"] == 403
    assert copies.requests == []


async def test_handshakes_count_for_the_rate_limit(live: Live) -> None:
    routes = [{"name": "all", "pool": "web", "rate_limit": {"requests_per_s": 0.001, "burst": 1}}]
    _origin, router, client = await live.pair(then(AGREED), routes=routes)
    await opened(client)
    assert (await (await live.client(router)).ask(HANDSHAKE)).status == 429


# Not opened

NOT_FORWARDED: dict[str, tuple[bytes, list[str]]] = {
    "switched-off": (HANDSHAKE, []),
    "h2c": (
        request("GET", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
        ["websocket"],
    ),
    "not-nominated": (request("GET", "/", "Upgrade: websocket", KEY), ["websocket"]),
    "no-key": (request("GET", "/", "Connection: upgrade", "Upgrade: websocket"), ["websocket"]),
    "two-keys": (request("GET", "/", "Connection: upgrade", "Upgrade: websocket", KEY, KEY), ["websocket"]),
    "key-nominated": (
        request("GET", "/", "Connection: upgrade, Sec-WebSocket-Key", "Upgrade: websocket", KEY),
        ["websocket"],
    ),
    "post": (request("POST", "/", "Connection: upgrade", "Upgrade: websocket", KEY), ["websocket"]),
    "body": (request("GET", "/", "Connection: upgrade", "Upgrade: websocket", KEY, body=b"hello"), ["websocket"]),
    "chunks": (
        request("GET", "/", "Connection: upgrade", "Upgrade: websocket", KEY, "Transfer-Encoding: chunked")
        + b"5\r\nhello\r\n0\r\n\r\n",
        ["websocket"],
    ),
    "list": (request("GET", "/", "Connection: upgrade", "Upgrade: websocket, h2c", KEY), ["websocket"]),
    "two-lines": (
        request("GET", "/", "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", KEY),
        ["websocket"],
    ),
    "http10": (
        HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Connection: ", b"Connection: keep-alive, "),
        ["websocket"],
    ),
}


@pytest.mark.parametrize("name", NOT_FORWARDED)
async def test_a_request_that_is_served_as_if_it_asked_for_no_upgrade(live: Live, name: str) -> None:
    asked, upgrades = NOT_FORWARDED[name]
    origin, router, client = await live.pair(pool={"upgrades": upgrades})
    assert (await client.ask(asked)).status == 200
    assert origin.requests[0].header(b"upgrade") is None
    assert origin.requests[0].header(b"connection") is None
    assert (await client.ask(request())).status == 200
    assert await router.outcomes(2) == [Outcome.COMPLETE] * 2


@pytest.mark.parametrize("name", NOT_FORWARDED)
async def test_no_tunnel_is_opened_for_it(live: Live, name: str) -> None:
    asked, upgrades = NOT_FORWARDED[name]
    _origin, router, client = await live.pair(then(AGREED), pool={"upgrades": upgrades})
    response = await client.ask(asked)
    assert (response.status, response.error) == (502, "malformed")
    assert (await router.record())["outcome"] == Outcome.MALFORMED


NOT_AGREED: dict[str, bytes] = {
    "another-protocol": switching(b"Connection: Upgrade", b"Upgrade: h2c", ACCEPT),
    "more-protocols": switching(b"Connection: Upgrade", b"Upgrade: websocket, h2c", ACCEPT),
    "twice": switching(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: websocket", ACCEPT),
    "no-upgrade": switching(b"Connection: Upgrade", ACCEPT),
    "no-connection": switching(b"Upgrade: websocket", ACCEPT),
    "no-accept": switching(b"Connection: Upgrade", b"Upgrade: websocket"),
    "wrong-accept": switching(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: AAAA"),
    "status-alone": switching(),
    "http10": AGREED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "bare-lf": AGREED.replace(b"websocket\r\n", b"websocket\n"),
}


@pytest.mark.parametrize("name", NOT_AGREED)
async def test_a_101_that_is_not_the_answer(live: Live, name: str) -> None:
    origin, router, client = await live.pair(then(NOT_AGREED[name]))
    response = await client.ask(HANDSHAKE)
    assert (response.status, response.error) == (502, "malformed")
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""
    assert (await router.record())["outcome"] == Outcome.MALFORMED
    await eventually(lambda: origin.links[0].ended)


@pytest.mark.parametrize("early", [b"", request("GET", "/admin")])
async def test_after_a_refusal_nothing_that_the_client_sent_is_read_as_a_request(live: Live, early: bytes) -> None:
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\ncontent-length: 2\r\n\r\nno"

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await link.send(refusal)

    origin, router, client = await live.pair(script)
    await client.send(HANDSHAKE + early)
    response: Message = await client.response()
    assert (response.status, response.body) == (426, b"no")
    assert response.header(b"connection") == b"close"
    await client.send(early)
    assert await client.rest() == b""
    assert len(origin.requests) == 1
    assert (await router.record())["status"] == 426


async def test_a_refusal_by_the_router_itself_closes_too(live: Live) -> None:
    _origin, router, client = await live.pair()
    router.set_eligible(0)
    await client.send(HANDSHAKE + request("GET", "/admin"))
    assert (await client.response()).status == 503
    assert await client.rest() == b""


async def test_the_backends_connection_serves_others_after_a_refusal(live: Live) -> None:
    origin, router, client = await live.pair()
    assert (await client.ask(HANDSHAKE)).status == 200
    assert (await (await live.client(router)).ask(request())).status == 200
    assert len(origin.links) == 1


# The tunnel


async def _fill(write: Callable[[bytes], object], drain: Callable[[], Awaitable[None]]) -> int:
    """Write until nothing more is taken; returns how many bytes that were."""
    sent = 0
    while True:
        write(bytes(65_536))
        try:
            async with asyncio.timeout(0.5):
                await drain()
        except TimeoutError:
            return sent + 65_536
        sent += 65_536
        assert sent < 50_000_000, "the router takes whatever comes"


async def test_a_slow_client_slows_the_backend(live: Live) -> None:
    sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(AGREED)
        sent.set_result(await _fill(link.writer.write, link.writer.drain))
        await link.end()

    _origin, router, client = await live.pair(script)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    await opened(client)
    async with asyncio.timeout(30):
        size = await sent
    (connection,) = router.worker.admission.clients
    assert connection.transport.get_write_buffer_size() < 1_000_000
    async with asyncio.timeout(10):
        await client.reader.readexactly(size)


async def test_a_slow_backend_slows_the_client(live: Live) -> None:
    go = asyncio.Event()
    taken = bytearray()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(AGREED)
        await go.wait()
        while data := await link.reader.read(65_536):
            taken.extend(data)

    _origin, router, client = await live.pair(script)
    await opened(client)
    size = await _fill(client.writer.write, client.writer.drain)
    go.set()
    await eventually(lambda: len(taken) == size)
    await client.close()
    assert (await router.record())["request_bytes"] == size


async def test_each_side_may_end_its_own_direction_first(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(AGREED)
        everything = await link.reader.read()
        await link.send(everything * 2)

    _origin, router, client = await live.pair(script)
    await opened(client)
    await client.send(b"a" * 100_000)
    client.writer.write_eof()
    assert await client.rest() == b"a" * 200_000
    record = await router.record()
    assert (record["outcome"], record["response_bytes"]) == (Outcome.COMPLETE, 200_000)


async def test_the_backend_ends_first(live: Live) -> None:
    async def go_on(link: Link) -> None:
        link.writer.write_eof()
        await link.end()

    _origin, router, client = await live.pair(then(AGREED + b"bye", go_on=go_on))
    await opened(client)
    assert await client.rest() == b"bye"
    await client.close()
    assert (await router.record())["outcome"] == Outcome.COMPLETE


async def test_resets_are_passed_on_and_told_apart(live: Live) -> None:
    origin, router, client = await live.pair(then(AGREED))
    await opened(client)
    client.reset()
    await eventually(lambda: origin.links[0].ended)
    await router.record()

    async def vanish(link: Link) -> None:
        link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.reset()

    origin.script = then(AGREED, go_on=vanish)
    other = await live.client(router)
    await opened(other)
    assert await other.cut() == b""
    assert (await router.record())["outcome"] == Outcome.TRUNCATED


# Time


async def test_a_tunnel_outlives_request_s_and_ends_when_idle(live: Live) -> None:
    timeouts = {"request_s": 5, "response_header_s": 5, "tunnel_idle_s": 50}
    origin, router, client = await live.pair(then(AGREED, go_on=echo), pool={"timeouts": timeouts})
    await opened(client)
    router.sweep(40)
    await client.send(b"ping")
    assert await received(client, 4) == b"ping"
    router.sweep(60)
    assert await client.cut() == b""
    assert (await router.record())["outcome"] == Outcome.CLIENT_TIMEOUT
    await eventually(lambda: origin.links[0].writer.is_closing())


async def test_an_end_that_is_left_alone_does_not_stay_for_ever(live: Live) -> None:
    _origin, router, client = await live.pair(then(AGREED), timeouts={"idle_s": 5})
    await opened(client)
    (connection,) = router.worker.admission.clients
    client.writer.write_eof()
    router.sweep(1)
    await eventually(lambda: connection.deadline_s < asyncio.get_running_loop().time() + 10)
    router.sweep(20)
    assert await client.cut() == b""
    assert (await router.record())["outcome"] == Outcome.COMPLETE


async def test_an_answer_that_does_not_come(live: Live) -> None:
    origin, router, client = await live.pair(then(), pool={"timeouts": {"request_s": 50, "response_header_s": 5}})
    await client.send(HANDSHAKE)
    await eventually(lambda: origin.requests)
    router.sweep(10)
    assert (await client.response()).error == "response_timeout"
    assert await client.rest() == b""


async def test_the_client_leaves_before_the_answer(live: Live) -> None:
    origin, router, client = await live.pair(then())
    await client.send(HANDSHAKE)
    await eventually(lambda: origin.requests)
    client.reset()
    assert (await router.record())["outcome"] == Outcome.CLIENT_GONE


async def test_a_tunnel_goes_on_while_the_router_drains(live: Live) -> None:
    _origin, router, client = await live.pair(then(AGREED, go_on=echo))
    await opened(client)
    router.worker.drain()
    await client.send(b"ping")
    assert await received(client, 4) == b"ping"
    await client.close()
    await eventually(lambda: not router.worker.admission.clients)


# What is no upgrade


async def test_events_pass_as_they_come(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for number in range(3):
            await go.wait()
            go.clear()
            await link.send(b"data: %d\n\n" % number)

    _origin, _router, client = await live.pair(script)
    await client.send(request("GET", "/events", "Accept: text/event-stream"))
    async with asyncio.timeout(10):
        await client.reader.readuntil(b"\r\n\r\n")
    for number in range(3):
        go.set()  # the next one is sent only once the one before has come
        assert await received(client, 9) == b"data: %d\n\n" % number
    assert await client.rest() == b""


async def test_events_in_chunks_pass_as_they_come(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            await go.wait()
            go.clear()
            await link.send(b"9\r\ndata: %d\n\n\r\n" % number)
        await link.send(b"0\r\n\r\n")
        await answering(link)

    _origin, _router, client = await live.pair(script)
    await client.send(request("GET", "/events"))
    async with asyncio.timeout(10):
        await client.reader.readuntil(b"\r\n\r\n")
    for number in range(3):
        go.set()
        assert await received(client, 14) == b"9\r\ndata: %d\n\n\r\n" % number
    assert await received(client, 5) == b"0\r\n\r\n"


async def test_a_long_poll(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await go.wait()
        await link.send(ok(b"news"))
        await answering(link)

    origin: Origin
    origin, router, client = await live.pair(script, pool={"timeouts": {"request_s": 60, "response_header_s": 50}})
    await client.send(request("GET", "/poll"))
    await eventually(lambda: origin.requests)
    router.sweep(45)
    go.set()
    assert (await client.response()).body == b"news"


# Responses that need not end

ENDLESS = {"timeouts": {"request_s": None, "response_header_s": 5}}


async def test_a_response_may_take_for_ever(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
        await go.wait()
        await link.send(b"data: 2\n\n")

    _origin, router, client = await live.pair(script, pool=ENDLESS)
    await client.send(request("GET", "/events"))
    async with asyncio.timeout(10):
        await client.reader.readuntil(b"data: 1\n\n")
    router.sweep(1_000_000)
    go.set()
    assert await client.rest() == b"data: 2\n\n"
    assert (await router.record())["outcome"] == Outcome.COMPLETE


async def test_a_client_that_stops_reading_such_a_response_is_cut_off(live: Live) -> None:
    filled = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await _fill(link.writer.write, link.writer.drain)
        filled.set()
        await link.end()

    _origin, router, client = await live.pair(script, pool=ENDLESS)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    await client.send(request("GET", "/events"))
    async with asyncio.timeout(30):
        await filled.wait()
    router.sweep(70)
    assert router.in_flight == [1]
    router.sweep(80)
    assert (await router.record())["outcome"] == Outcome.CLIENT_TIMEOUT


async def test_an_answer_is_still_due(live: Live) -> None:
    origin, router, client = await live.pair(then(), pool=ENDLESS)
    await client.send(request("GET", "/events"))
    await eventually(lambda: origin.requests)
    router.sweep(10)
    assert (await client.response()).error == "response_timeout"


async def test_a_backend_that_does_not_take_the_body_is_given_up(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await asyncio.Event().wait()

    _origin, router, client = await live.pair(script, pool=ENDLESS)
    await client.send(request("POST", "/", "content-length: 50000000"))
    await _fill(client.writer.write, client.writer.drain)
    router.sweep(80)
    assert b" 504 " in (await client.cut())[:20]
    assert (await router.record())["outcome"] == Outcome.RESPONSE_TIMEOUT


async def test_a_tunnel_that_broke_off_is_not_taken_for_whole(live: Live) -> None:
    async def vanish(link: Link) -> None:
        await link.send(b"half")
        await link.reader.readexactly(2)
        link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.reset()

    _origin, router, client = await live.pair(then(AGREED, go_on=vanish))
    await opened(client)
    assert await received(client, 4) == b"half"
    await client.send(b"on")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert (await router.record())["outcome"] is Outcome.TRUNCATED
