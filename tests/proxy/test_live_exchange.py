"""Requests and responses that go as they should: framing, reuse, order, and what is forwarded."""

import asyncio
from time import monotonic

import pytest

from smartlb.core.outcome import Outcome
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, Script, answering, ok, saying

CHUNKS = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n"
GET = request()


async def test_both_sides_are_kept_open(live: Live) -> None:
    origin, router, client = await live.pair()
    for path in ("/1", "/2", "/3"):
        response = await client.ask(request("GET", path))
        assert (response.status, response.header(b"connection")) == (200, None)
    assert len(origin.links) == 1
    assert [message.start for message in origin.requests] == [b"GET /%d HTTP/1.1" % n for n in (1, 2, 3)]
    records = await router.records(3)
    assert all(record["outcome"] is Outcome.COMPLETE and record["status"] == 200 for record in records)
    assert all(record["attempt"] == 1 and record["in_flight"] == 0 for record in records)
    assert all(record["queued_s"] >= 0 and 0 < record["first_byte_s"] <= record["total_s"] for record in records)


async def test_clients_share_idle_connections_one_after_the_other(live: Live) -> None:
    origin, router, first = await live.pair()
    await first.ask(GET)
    await (await live.client(router)).ask(GET)
    assert len(origin.links) == 1


async def test_requests_at_once_have_connections_of_their_own(live: Live) -> None:
    together = asyncio.Barrier(3)

    async def script(link: Link) -> None:
        await link.request()
        await together.wait()
        await link.send(ok())
        await link.end()

    origin, router, *_ = await live.pair(script)
    clients = [await live.client(router) for _ in range(3)]
    responses = await asyncio.gather(*(client.ask(GET) for client in clients))
    assert [response.status for response in responses] == [200] * 3
    assert len(origin.links) == 3
    assert sorted(record["in_flight"] for record in await router.records(3)) == [0, 1, 2]


@pytest.mark.parametrize("count", [2, 50])
async def test_pipelined_requests_are_answered_in_order(live: Live, count: int) -> None:
    async def script(link: Link) -> None:
        while True:
            await link.send(ok((await link.request()).start))

    origin, router, client = await live.pair(script)
    await client.send(b"".join(request("GET", f"/{number}") for number in range(count)))
    for number in range(count):
        assert (await client.response()).body == b"GET /%d HTTP/1.1" % number
    assert len(origin.links) == 1
    assert set(await router.outcomes(count)) == {Outcome.COMPLETE}


async def test_pipelined_requests_with_bodies_split_at_every_byte(live: Live) -> None:
    stream = (
        b"\r\n"
        + request("POST", "/a", body=b"12345")
        + request("GET", "/b")
        + request("POST", "/c", "transfer-encoding: chunked")
        + CHUNKS
        + request("GET", "/d")
    )
    origin, router, client = await live.pair()
    for split in range(1, len(stream)):
        await client.send(stream[:split], stream[split:])
        bodies = [(await client.response()).body for _ in range(4)]
        assert bodies == [b"12345", b"", b"hello world", b""], f"split at {split}"
    assert len(origin.links) == 1
    assert set(await router.outcomes(4 * (len(stream) - 1))) == {Outcome.COMPLETE}


async def test_a_request_byte_by_byte(live: Live) -> None:
    stream = request("POST", "/a", "transfer-encoding: chunked") + CHUNKS + request("POST", "/b", body=b"123")
    _origin, router, client = await live.pair()
    await client.send(*(stream[at : at + 1] for at in range(len(stream))))
    assert (await client.response()).body == b"hello world"
    assert (await client.response()).body == b"123"
    assert [record["request_bytes"] for record in await router.records(2)] == [11, 3]


RESPONSES: dict[str, tuple[bytes, str, bytes]] = {
    # what the backend sends, the request's method, the body that the client sees
    "content-length": (ok(b"hello"), "GET", b"hello"),
    "empty": (ok(b""), "GET", b""),
    "chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, "GET", b"hello world"),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b""),
    "not-modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n", "GET", b""),
    "head": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HEAD", b""),
    "head-chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HEAD", b""),
    "early-hints": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok(b"hello"), "GET", b"hello"),
    "no-reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", "GET", b"ok"),
}


@pytest.mark.parametrize("name", RESPONSES)
async def test_responses_split_at_every_byte(live: Live, name: str) -> None:
    whole, method, body = RESPONSES[name]
    splits = iter(range(len(whole)))

    async def script(link: Link) -> None:
        while True:
            await link.request()
            split = next(splits)
            await link.send(whole[:split], whole[split:])

    origin, router, client = await live.pair(script)
    for _ in range(len(whole)):
        await client.send(request(method))
        response = await client.response(head=method == "HEAD")
        if response.status == 103:
            assert response.header(b"link") == b"</a>"
            response = await client.response()
        assert response.body == body
        assert response.header(b"connection") is None
    assert len(origin.links) == 1
    assert set(await router.outcomes(len(whole))) == {Outcome.COMPLETE}


async def test_trailers_and_chunks_are_passed_on(live: Live) -> None:
    chunked = b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n"
    origin, _router, client = await live.pair(
        saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n" + chunked)
    )
    response = await client.ask(request("POST", "/", "transfer-encoding: chunked") + chunked)
    assert response.trailers == ((b"x-sum", b"6"),)
    assert origin.requests[0].body == b"abc"
    assert origin.requests[0].trailers == ((b"x-sum", b"6"),)


async def test_a_response_that_ends_with_its_connection(live: Live) -> None:
    origin, router, client = await live.pair(saying(b"HTTP/1.1 200 OK\r\n\r\nhello", b" world", then_close=True))
    response = await client.ask(GET)
    assert (response.body, response.header(b"connection")) == (b"hello world", b"close")
    record = await router.record()
    assert (record["outcome"], record["response_bytes"]) == (Outcome.COMPLETE, 11)
    assert len(origin.links) == 1


async def test_the_backend_says_close(live: Live) -> None:
    origin, _router, client = await live.pair(saying(ok(b"ok", b"Connection: close"), then_close=True))
    for _ in range(2):
        response = await client.ask(GET)
        assert (response.status, response.header(b"connection")) == (200, None)
    assert len(origin.links) == 2


@pytest.mark.parametrize("header", ["Connection: close", "connection: x-a, Close"])
async def test_the_client_says_close(live: Live, header: str) -> None:
    origin, router, client = await live.pair()
    response = await client.ask(request("GET", "/", header))
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""
    await (await live.client(router)).ask(GET)
    assert len(origin.links) == 1


HTTP10: dict[str, tuple[Script, bytes]] = {
    "content-length": (saying(ok(b"hello")), b"hello"),
    "chunked": (saying(RESPONSES["chunked"][0]), b"hello world"),
    "until-close": (saying(b"HTTP/1.1 200 OK\r\n\r\nhello", then_close=True), b"hello"),
    "interim": (saying(RESPONSES["early-hints"][0]), b"hello"),
}


@pytest.mark.parametrize("name", HTTP10)
async def test_an_http10_client(live: Live, name: str) -> None:
    script, body = HTTP10[name]
    origin, _router, client = await live.pair(script)
    response = await client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (response.status, response.body) == (200, body)
    assert response.header(b"transfer-encoding") is None
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""
    assert origin.requests[0].start == b"GET / HTTP/1.1"
    assert origin.requests[0].header(b"host") == b"web"


async def test_an_http10_client_may_keep_its_connection(live: Live) -> None:
    _origin, _router, client = await live.pair()
    for _ in range(2):
        response = await client.ask(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
        assert response.header(b"connection") == b"keep-alive"


async def test_an_http10_backend(live: Live) -> None:
    origin, _router, client = await live.pair(saying(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    for _ in range(2):
        assert (await client.ask(GET)).start == b"HTTP/1.1 200 OK"
    assert len(origin.links) == 2


async def test_what_is_forwarded(live: Live) -> None:
    origin, _router, client = await live.pair(
        saying(ok(b"ok", b"Server: x", b"Keep-Alive: timeout=5", b"X-Hop: 1", b"Connection: keep-alive, x-hop"))
    )
    response = await client.ask(
        request(
            "GET", "/a?b=%20", "Connection: x-mine", "X-Mine: 1", "TE: trailers", "Upgrade: h2c",
            "X-Forwarded-For: 9.9.9.9", "X-Request-ID: theirs", "Accept: */*", "X-Same: 1", "X-Same: 2",
        )
    )  # fmt: skip
    assert response.header(b"server") == b"x"
    assert not any(response.values(name) for name in (b"keep-alive", b"x-hop", b"connection"))
    forwarded = origin.requests[0]
    assert forwarded.start == b"GET /a?b=%20 HTTP/1.1"
    assert not any(forwarded.values(name) for name in (b"connection", b"x-mine", b"te", b"upgrade"))
    assert forwarded.header(b"host") == b"a.example"
    assert forwarded.header(b"accept") == b"*/*"
    assert forwarded.values(b"x-same") == [b"1", b"2"]
    assert forwarded.header(b"x-forwarded-for") == b"127.0.0.1"
    assert forwarded.header(b"x-forwarded-proto") == b"http"
    assert forwarded.header(b"x-forwarded-host") == b"a.example"
    assert forwarded.header(b"via") == b"1.1 smartlb"
    assert forwarded.header(b"x-request-id") not in (None, b"theirs")


async def test_request_ids_differ(live: Live) -> None:
    origin, _router, client = await live.pair()
    for _ in range(3):
        await client.ask(GET)
    assert len({message.header(b"x-request-id") for message in origin.requests}) == 3


async def test_a_trusted_proxy_is_believed(live: Live) -> None:
    listeners = [{"bind": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"]}]
    origin, _router, client = await live.pair(listeners=listeners)
    await client.ask(
        request("GET", "/", "X-Forwarded-For: 9.9.9.9", "X-Request-ID: theirs", "X-Forwarded-Proto: https")
    )
    forwarded = origin.requests[0]
    assert forwarded.header(b"x-forwarded-for") == b"9.9.9.9, 127.0.0.1"
    assert forwarded.header(b"x-forwarded-proto") == b"https"
    assert forwarded.header(b"x-request-id") == b"theirs"


# 100-continue and early answers


EXPECTING = request("POST", "/", "Expect: 100-continue", "Content-Length: 5")


async def test_the_backend_says_continue(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await link.send(ok(await link.reader.readexactly(5)))
        await answering(link)

    origin, router, client = await live.pair(script)
    assert (await client.ask(EXPECTING)).status == 100
    assert (await client.ask(b"hello")).body == b"hello"
    assert (await client.ask(GET)).status == 200
    assert len(origin.links) == 1
    first, _ = await router.records(2)
    assert first["request_bytes"] == 5


async def test_time_to_first_byte_is_that_of_the_final_response(live: Live) -> None:
    before_s = 0.0

    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await link.reader.readexactly(5)
        nonlocal before_s
        before_s = monotonic()
        await asyncio.sleep(0.01)
        await link.send(ok())
        await link.end()

    _origin, router, client = await live.pair(script)
    await client.ask(EXPECTING)
    await client.ask(b"hello")
    record = await router.record()
    assert record["arrived_s"] + record["first_byte_s"] > before_s


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized"])
async def test_the_backend_does_not_want_the_body(live: Live, status: bytes) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 %s\r\ncontent-length: 2\r\n\r\nno" % status)
        await link.end()

    origin, router, client = await live.pair(script)
    response = await client.ask(EXPECTING)
    assert (response.status, response.body) == (int(status[:3]), b"no")
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.COMPLETE, int(status[:3]))
    # A connection on which a body is missing serves no other request.
    origin.script = answering
    assert (await (await live.client(router)).ask(GET)).status == 200
    assert len(origin.links) == 2


async def test_an_early_answer_reaches_a_client_that_still_sends(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno")
        await link.end()

    _origin, router, client = await live.pair(script)
    sending = asyncio.create_task(client.send(request("POST", "/", "Content-Length: 3000000"), *[bytes(100_000)] * 20))
    response = await client.response()
    assert (response.status, response.body) == (413, b"no")
    await sending
    assert await client.rest() == b""
    assert (await router.record())["status"] == 413


async def test_a_response_that_begins_before_the_request_ends(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await link.send(b"1\r\n" + await link.reader.readexactly(1) + b"\r\n")
        await link.send(b"0\r\n\r\n")
        await link.end()

    _origin, router, client = await live.pair(script)
    await client.send(request("POST", "/", "Content-Length: 3"))
    seen = [await client.reader.readuntil(b"\r\n\r\n")]
    for byte in (b"a", b"b", b"c"):
        await client.send(byte)
        seen.append(await client.reader.readexactly(6))
    assert b"connection: close" in seen[0]
    assert seen[1:] == [b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n"]
    assert await client.rest() == b"0\r\n\r\n"
    record = await router.record()
    assert (record["outcome"], record["request_bytes"]) == (Outcome.COMPLETE, 3)


async def test_a_begun_response_has_no_header_timeout_when_the_request_ends(live: Live) -> None:
    finish = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        await link.reader.readexactly(1)
        await finish.wait()
        await link.send(b"b")
        await link.end()

    pool = {"timeouts": {"response_header_s": 1, "request_s": 60}}
    origin, router, client = await live.pair(script, pool=pool)
    await client.send(request("POST", "/", "Content-Length: 1"))
    await client.reader.readuntil(b"\r\n\r\na")
    await client.send(b"x")
    # The router has read the byte when a request sent after it has been answered.
    origin.script = answering
    await (await live.client(router)).ask(GET)
    router.sweep(ahead_s=10)
    finish.set()
    assert await client.rest() == b"b"
    assert Outcome.RESPONSE_TIMEOUT not in await router.outcomes(2)
