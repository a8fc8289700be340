"""HTTP/2 with clients, in front of backends that speak HTTP/1.1."""

import asyncio
import hashlib

import pytest
from h2.errors import ErrorCodes

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.authority import Authority
from tests.eventually import eventually
from tests.proxy.http2_client import Answer, Http2Client
from tests.proxy.live import Client, Live, LiveRouter
from tests.proxy.origin import Link, Origin, Script, answering, ok, saying

HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]
PIECE = bytes(range(256)) * 256


async def http2(live: Live, router: LiveRouter) -> Http2Client:
    return await Http2Client(await live.client(router)).start()


async def pair(live: Live, script: Script = answering, **settings: object) -> tuple[Origin, LiveRouter, Http2Client]:
    origin = await live.origin(script)
    router = await live.router(origin, **settings)  # type: ignore[arg-type]
    return origin, router, await http2(live, router)


async def test_a_request_and_its_answer(live: Live) -> None:
    origin, router, client = await pair(live, saying(ok(b"hello", b"X-Own: 1", b"Connection: keep-alive")))
    answer = await client.ask(b"GET", b"/a?b=c", (b"x-a", b"1"), (b"cookie", b"c=1"), (b"cookie", b"d=2"))
    assert (answer.status, answer.body) == (200, b"hello")
    assert (answer.header(b"x-own"), answer.header(b"connection"), answer.header(b"content-length")) == (
        [b"1"],
        [],
        [b"5"],
    )
    request = origin.requests[0]
    assert request.start == b"GET /a?b=c HTTP/1.1"
    assert request.header(b"host") == b"a.example"
    assert request.header(b"x-a") == b"1"
    assert request.header(b"cookie") == b"c=1; d=2"
    assert request.header(b"via") == b"2.0 smartlb"
    assert request.header(b"x-forwarded-for") == b"127.0.0.1"
    record = await router.record()
    assert (record["outcome"], record["status"], record["response_bytes"]) == (Outcome.COMPLETE, 200, 5)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("length", "pieces", "trailers"),
    [
        (b"10", [b"12345"], False),
        (b"2", [b"12345"], False),
        (b"5", [b"12345", b"GET /smuggled HTTP/1.1\r\nhost: b\r\n\r\n"], False),
        (b"10", [b"12345"], True),
        (b"5", [], True),
    ],
)
async def test_a_body_of_another_length_than_announced_ends_its_stream_alone(
    live: Live, length: bytes, pieces: list[bytes], trailers: bool, apart: bool
) -> None:
    gate = asyncio.Event()

    async def script(link: Link) -> None:
        message = await link.request()
        assert b"smuggled" not in message.start
        await gate.wait()
        await link.send(ok(b"fine"))

    _origin, router, client = await pair(live, script)
    other = await client.begin()
    client.h2.send_headers(3, [*HEAD, (b"content-length", length)])
    number = 3
    client.answers[number] = Answer()
    if apart:
        await client.flush()
        await eventually(lambda: router.in_flight == [2])
    for at, piece in enumerate(pieces):
        client.h2.send_data(number, piece, end_stream=not trailers and at == len(pieces) - 1)
    if trailers:
        client.h2.send_headers(number, [(b"x-end", b"1")], end_stream=True)
    await client.flush()
    assert (await client.answer(number)).reset == ErrorCodes.PROTOCOL_ERROR
    gate.set()
    assert (await client.answer(other)).body == b"fine"
    assert (await client.ask()).body == b"fine"
    assert not client.closed
    expected = [Outcome.BAD_REQUEST, Outcome.COMPLETE, Outcome.COMPLETE]
    if apart:
        expected.append(Outcome.CLIENT_GONE)  # for the backend has heard of it
    assert sorted(await router.outcomes(len(expected))) == sorted(expected)


async def test_streams_go_side_by_side(live: Live) -> None:
    gate = asyncio.Event()

    async def script(link: Link) -> None:
        message = await link.request()
        if message.start.startswith(b"GET /slow"):
            await gate.wait()
        await link.send(ok(message.start.split()[1]))

    _origin, router, client = await pair(live, script)
    slow = [await client.begin(b"GET", b"/slow%d" % number) for number in range(5)]
    assert (await client.ask(b"GET", b"/quick")).body == b"/quick"
    assert not any(client.answers[number].ended for number in slow)
    assert router.gauge(Gauge.CONNECTIONS) == router.gauge(Gauge.HTTP2_CONNECTIONS) == 1
    gate.set()
    assert [(await client.answer(number)).body for number in slow] == [b"/slow%d" % number for number in range(5)]
    assert router.in_flight == [0]


@pytest.mark.parametrize("length", [False, True])
async def test_a_body_with_and_without_its_length(live: Live, length: bool) -> None:
    origin, router, client = await pair(live)
    body = PIECE * 20
    headers = [(b"content-length", b"%d" % len(body))] if length else []
    answer = await client.ask(b"POST", b"/", *headers, body=body)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    assert origin.requests[0].header(b"transfer-encoding") == (None if length else b"chunked")
    assert (await router.record())["request_bytes"] == len(body)


async def test_trailers_both_ways(live: Live) -> None:
    seen = []

    async def script(link: Link) -> None:
        seen.append(await link.head())
        seen.append(await link.reader.readuntil(b"\r\n\r\n"))
        await link.send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"2\r\nab\r\n0\r\nx-sum: 7\r\nset-cookie: no\r\n\r\n",
        )

    _origin, _router, client = await pair(live, script)
    number = await client.begin(b"POST", b"/", end=False)
    await client.send_body(number, b"hello", end=False)
    client.h2.send_headers(number, [(b"x-check", b"5"), (b"authorization", b"no")], end_stream=True)
    await client.flush()
    answer = await client.answer(number)
    assert (answer.body, answer.trailers) == (b"ab", [(b"x-sum", b"7")])
    assert seen[1] == b"5\r\nhello\r\n0\r\nx-check: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "raw", "status", "body"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", 200, b""),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", 304, b""),
        (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
        (b"GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, b""),
    ],
)
async def test_answers_with_little_in_them(live: Live, method: bytes, raw: bytes, status: int, body: bytes) -> None:
    _origin, _router, client = await pair(live, saying(raw))
    answer = await client.ask(method)
    assert (answer.status, answer.body, answer.reset) == (status, body, None)


async def test_a_body_that_ends_with_its_connection(live: Live) -> None:
    _origin, _router, client = await pair(live, saying(b"HTTP/1.1 200 OK\r\n\r\nall of it", then_close=True))
    answer = await client.ask()
    assert (answer.body, answer.ended) == (b"all of it", True)


async def test_interim_responses_are_passed_on(live: Live) -> None:
    _origin, _router, client = await pair(live, saying(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", ok(b"done")))
    answer = await client.ask()
    assert (answer.interim, answer.status, answer.body) == ([b"103"], 200, b"done")


async def test_a_response_that_breaks_off_is_no_complete_one(live: Live) -> None:
    _origin, router, client = await pair(
        live, saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", then_close=True)
    )
    answer = await client.ask()
    assert (answer.ended, answer.reset) == (False, ErrorCodes.INTERNAL_ERROR)
    assert (await router.record())["outcome"] == Outcome.TRUNCATED
    assert (await client.ask()).reset == ErrorCodes.INTERNAL_ERROR, "the connection goes on"


async def test_what_the_router_answers_itself(live: Live) -> None:
    _origin, router, client = await pair(
        live, routes=[{"name": "api", "match": {"path_prefix": "/api"}, "pool": "web"}], limits={"body_bytes": 1000}
    )
    assert (await client.ask(b"GET", b"/other")).status == 404
    answer = await client.ask(b"POST", b"/api", body=b"x" * 2000)
    assert answer.status == 413
    assert (await client.ask(b"GET", b"/api")).status == 200
    assert (await client.ask(b"CONNECT", b"/")).reset == ErrorCodes.PROTOCOL_ERROR
    number = await client.send_head([(b":method", b"CONNECT"), (b":authority", b"a.example:443")])
    assert (await client.answer(number)).status == 501
    assert {Outcome.NO_ROUTE, Outcome.BODY_TOO_LARGE, Outcome.COMPLETE} < set(await router.outcomes(5))


async def test_a_client_that_does_not_read_holds_up_its_own_stream_only(live: Live) -> None:
    sent = [0]

    async def script(link: Link) -> None:
        message = await link.request()
        if message.start.startswith(b"GET /large"):
            await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (200 * len(PIECE)))
            for _ in range(200):
                await link.send(PIECE)
                sent[0] += len(PIECE)
            return
        await link.send(ok(b"small"))

    _origin, _router, client = await pair(live, script)
    client.takes = False
    large = await client.begin(b"GET", b"/large")
    await client.until(lambda: len(client.answers[large].body) >= 65_535)
    client.h2.increment_flow_control_window(1 << 20)  # of the connection, for the others
    await client.flush()
    last = -1
    while last != sent[0]:
        last = sent[0]
        await asyncio.sleep(0.1)
    assert sent[0] < 8_000_000, "kept in sockets, mostly"
    assert (await client.ask(b"GET", b"/small")).body == b"small"
    client.takes = True
    client.h2.increment_flow_control_window(1 << 20, large)
    client.h2.increment_flow_control_window(1 << 24)
    await client.flush()
    await client.until(lambda: len(client.answers[large].body) > 1_000_000)
    client.h2.increment_flow_control_window(1 << 24, large)
    await client.flush()
    answer = await client.answer(large)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(PIECE * 200).digest()


async def test_a_backend_that_does_not_read_closes_the_streams_window(live: Live) -> None:
    gate = asyncio.Event()

    async def script(link: Link) -> None:
        if b"/stuck" in await link.head():
            await gate.wait()
            await link.end()
        else:
            await link.send(ok(b"other"))

    _origin, _router, client = await pair(live, script)
    stuck = await client.begin(b"POST", b"/stuck", end=False)
    sent = 0
    while sent < 20_000_000:
        window = min(client.h2.local_flow_control_window(stuck), 16_384)
        if window > 0:
            client.h2.send_data(stuck, bytes(window))
            await client.flush()
            sent += window
            continue
        try:
            async with asyncio.timeout(0.3):
                await client.take()
        except TimeoutError:
            break
    assert sent < 5_000_000, "kept in sockets and one window"
    assert (await client.ask(b"GET", b"/other")).body == b"other"
    client.h2.reset_stream(stuck)
    await client.flush()
    gate.set()


async def test_a_client_that_resets_its_stream_frees_the_backend(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.end()

    origin, router, client = await pair(live, script)
    number = await client.begin()
    await eventually(lambda: len(origin.requests) == 1)
    client.h2.reset_stream(number)
    await client.flush()
    assert (await router.record())["outcome"] == Outcome.CLIENT_GONE
    await eventually(lambda: origin.links[0].ended)
    assert router.in_flight == [0]


async def test_a_client_that_goes_away_frees_all_its_backends(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.end()

    origin, router, client = await pair(live, script)
    for _ in range(3):
        await client.begin()
    await eventually(lambda: len(origin.requests) == 3)
    await client.client.close()
    assert await router.outcomes(3) == [Outcome.CLIENT_GONE] * 3
    await eventually(lambda: all(link.ended for link in origin.links))


async def test_a_request_that_takes_too_long_is_answered_on_its_stream(live: Live) -> None:
    async def script(link: Link) -> None:
        message = await link.request()
        if message.start.startswith(b"GET /slow"):
            await link.end()
        else:
            await link.send(ok())

    _origin, router, client = await pair(live, script)
    slow = await client.begin(b"GET", b"/slow")
    assert (await client.ask()).status == 200
    router.sweep(ahead_s=65)
    assert (await client.answer(slow)).status == 504
    assert (await client.ask()).status == 200


async def test_an_idle_connection_is_closed_with_a_goaway(live: Live) -> None:
    _origin, router, client = await pair(live)
    assert (await client.ask()).status == 200
    router.sweep(ahead_s=1_000)
    await client.until(lambda: False)
    assert client.goaway == ErrorCodes.NO_ERROR
    assert router.gauge(Gauge.HTTP2_CONNECTIONS) == 0


async def test_draining_finishes_streams_and_refuses_new_ones(live: Live) -> None:
    gate = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await gate.wait()
        await link.send(ok(b"late"))

    origin, router, client = await pair(live, script)
    number = await client.begin()
    await eventually(lambda: len(origin.requests) == 1)
    router.worker.drain()
    await client.until(lambda: client.goaway is not None)
    assert client.goaway_last == number
    gate.set()
    assert (await client.answer(number)).body == b"late"
    await client.until(lambda: False)


async def test_retiring_serves_what_the_client_sent_before_it_heard(live: Live) -> None:
    _origin, router, client = await pair(live)
    assert (await client.ask()).status == 200
    router.worker.drain(20.0)
    number = await client.begin()
    assert (await client.answer(number)).status == 200
    await client.until(lambda: client.goaway is not None)
    assert client.goaway_last == 2**31 - 1
    router.sweep(ahead_s=5)
    await client.until(lambda: False)
    assert client.closed


async def test_tls_chooses_http2_where_the_client_offers_it(live: Live, authority: Authority) -> None:
    certificate = authority.issue("a", "localhost")
    origin = await live.origin()
    router = await live.router(origin, listener={"tls": {"certificates": [certificate]}})
    tls = authority.client()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    connection = await live.client(router, tls, "localhost")
    assert connection.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    client = await Http2Client(connection).start()
    body = PIECE * 20
    assert (await client.ask(b"POST", b"/", body=body)).body == body
    assert origin.requests[0].header(b"x-forwarded-proto") == b"https"
    assert origin.requests[0].header(b"via") == b"2.0 smartlb"


async def test_where_it_is_off_its_preface_is_no_request(live: Live) -> None:
    origin = await live.origin()
    router = await live.router(origin, listener={"http2": {"enabled": False}})
    client: Client = await live.client(router)
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (await client.response()).start.startswith(b"HTTP/1.1 400 ")


async def test_a_preface_in_pieces(live: Live) -> None:
    router = await live.router(await live.origin())
    other = Http2Client(await live.client(router))
    other.h2.initiate_connection()
    for byte in other.h2.data_to_send():
        await other.client.send(bytes([byte]))
    assert (await other.ask(b"POST", b"/", body=b"x")).body == b"x"


async def test_routes_that_do_more_do_it_here_too(live: Live) -> None:
    origin, _router, client = await pair(
        live,
        saying(ok(b"a")),
        routes=[
            {
                "name": "go",
                "match": {"path_prefix": "/go"},
                "redirect": {"to": "http://b.example{path}"},
            },
            {
                "name": "old",
                "match": {"path_prefix": "/old"},
                "pool": "web",
                "rewrite": {"prefix": "/new"},
                "set_response_headers": {"x-by": "smartlb"},
            },
            {"name": "few", "pool": "web", "rate_limit": {"requests_per_s": 0.001, "burst": 1}},
        ],
    )
    answer = await client.ask(b"GET", b"/go/x")
    assert (answer.status, answer.header(b"location")) == (302, [b"http://b.example/go/x"])
    answer = await client.ask(b"GET", b"/old/x")
    assert (answer.status, answer.header(b"x-by")) == (200, [b"smartlb"])
    assert origin.requests[0].start == b"GET /new/x HTTP/1.1"
    assert [(await client.ask()).status for _ in range(2)] == [200, 429]
