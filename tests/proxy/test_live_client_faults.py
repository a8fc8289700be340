"""What clients do wrong: each fault has its answer, and none reaches a backend or holds up another client."""

import asyncio
import socket
from time import monotonic
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, ok, saying

LIMITS = {"header_bytes": 1_024, "header_count": 20, "body_bytes": 100}
GET = request()

REFUSED: dict[str, tuple[bytes, int, Outcome]] = {
    "no-http": (b"hello\r\n\r\n", 400, Outcome.BAD_REQUEST),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, Outcome.BAD_REQUEST),
    "version": (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 400, Outcome.BAD_REQUEST),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400, Outcome.BAD_REQUEST),
    "two-hosts": (request("GET", "/", "Host: b"), 400, Outcome.BAD_REQUEST),
    "bare-lf": (b"GET / HTTP/1.1\nhost: a\n\r\n\r\n", 400, Outcome.BAD_REQUEST),
    "obs-fold": (request("GET", "/", "x-a: 1", " 2"), 400, Outcome.BAD_REQUEST),
    "space-before-colon": (request("GET", "/", "x-a : 1"), 400, Outcome.BAD_REQUEST),
    "two-lengths": (request("POST", "/", "content-length: 1", "content-length: 2") + b"ab", 400, Outcome.BAD_REQUEST),
    "both-framings": (
        request("POST", "/", "content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n",
        400,
        Outcome.BAD_REQUEST,
    ),
    "coding": (request("POST", "/", "transfer-encoding: gzip, chunked"), 400, Outcome.BAD_REQUEST),
    "chunk-size": (request("POST", "/", "transfer-encoding: chunked") + b"zz\r\n", 400, Outcome.BAD_REQUEST),
    "target": (request("GET", "x"), 400, Outcome.BAD_REQUEST),
    "connect": (b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 501, Outcome.METHOD_REFUSED),
    "method": (request("BREW", "/"), 501, Outcome.METHOD_REFUSED),
    "head-size": (request("GET", "/" + "a" * 2_000), 431, Outcome.HEADER_TOO_LARGE),
    "endless-head": (b"GET /" + b"a" * 2_000, 431, Outcome.HEADER_TOO_LARGE),
    "header-count": (request("GET", "/", *["a: 1"] * 20), 431, Outcome.HEADER_TOO_LARGE),
    "length": (request("POST", "/", "content-length: 101"), 413, Outcome.BODY_TOO_LARGE),
    "chunked-length": (
        request("POST", "/", "transfer-encoding: chunked") + b"65\r\n" + bytes(101) + b"\r\n",
        413,
        Outcome.BODY_TOO_LARGE,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_wrong_request_is_refused(live: Live, name: str) -> None:
    sent, status, outcome = REFUSED[name]
    origin, router, client = await live.pair(limits=LIMITS)
    await client.ask(GET)
    response = await client.ask(sent)
    assert (response.status, response.error) == (status, outcome.label)
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""
    assert len(origin.requests) == 1
    _, record = await router.records(2)
    assert (record["outcome"], record["status"], record["backend"]) == (outcome, status, NO_BACKEND)
    assert (await (await live.client(router)).ask(GET)).status == 200


@pytest.mark.parametrize("name", REFUSED)
async def test_the_requests_before_a_wrong_one_are_answered(live: Live, name: str) -> None:
    sent, status, _outcome = REFUSED[name]
    origin, _router, client = await live.pair(limits=LIMITS)
    await client.send(request("GET", "/1") + request("GET", "/2") + sent)
    assert [(await client.response()).status for _ in range(3)] == [200, 200, status]
    assert await client.rest() == b""
    assert len(origin.requests) == 2


async def test_a_refused_client_that_goes_on_sending_sees_why(live: Live) -> None:
    _origin, _router, client = await live.pair(limits=LIMITS)
    await client.send(request("POST", "/", "content-length: 3000000"))
    for _ in range(20):
        await client.send(bytes(100_000))
    assert (await client.response()).status == 413


async def test_a_refused_client_that_stays_is_closed(live: Live) -> None:
    _origin, router, client = await live.pair()
    assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
    assert router.gauge(Gauge.CONNECTIONS) == 1
    router.sweep(ahead_s=2)
    await eventually(lambda: not router.worker.admission.clients)


ROUTES = [{"name": "api", "pool": "web", "match": {"path_prefix": "/api"}}]


async def test_no_route(live: Live) -> None:
    origin, router, client = await live.pair(routes=ROUTES)
    response = await client.ask(request("GET", "/other"))
    assert (response.status, response.error, response.header(b"connection")) == (404, "no_route", None)
    response = await client.ask(request("HEAD", "/other"))
    assert (response.status, response.body) == (404, b"")
    assert (await client.ask(request("GET", "/api/x"))).status == 200
    assert await router.outcomes(3) == [Outcome.NO_ROUTE, Outcome.NO_ROUTE, Outcome.COMPLETE]
    assert len(origin.requests) == 1


async def test_no_route_for_a_body(live: Live) -> None:
    _origin, _router, client = await live.pair(routes=ROUTES)
    await client.send(request("POST", "/other", "content-length: 3000000"))
    for _ in range(20):
        await client.send(bytes(100_000))
    response = await client.response()
    assert (response.status, response.header(b"connection")) == (404, b"close")
    assert await client.rest() == b""


async def test_the_answer_to_an_http10_client_that_stays(live: Live) -> None:
    """HTTP/1.0 closes unless told otherwise, so either is said or done."""
    _origin, _router, client = await live.pair(routes=ROUTES)
    response = await client.ask(b"GET /other HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
    assert response.header(b"connection") == b"close"
    assert await client.rest() == b""


async def test_a_broken_chunk_in_the_middle(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    origin, router, client = await live.pair(script)
    await client.send(request("POST", "/", "transfer-encoding: chunked") + b"5\r\nhello\r\n")
    await eventually(lambda: origin.links)
    response = await client.ask(b"nonsense\r\n")
    assert (response.status, response.error) == (400, "bad_request")
    assert await client.rest() == b""
    await eventually(lambda: origin.links[0].ended)
    record = await router.record()
    assert (record["outcome"], record["status"], record["backend"]) == (Outcome.BAD_REQUEST, 400, 0)


async def test_a_chunked_body_that_grows_too_long(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    origin, router, client = await live.pair(script, limits=LIMITS)
    await client.send(request("POST", "/", "transfer-encoding: chunked"))
    await eventually(lambda: origin.links)
    response = await client.ask((b"20\r\n" + bytes(32) + b"\r\n") * 4)
    assert (response.status, response.error) == (413, "body_too_large")
    await eventually(lambda: origin.links[0].ended)
    assert (await router.record())["outcome"] is Outcome.BODY_TOO_LARGE


# Slow clients


async def test_a_slow_head(live: Live) -> None:
    _origin, router, client = await live.pair(timeouts={"header_s": 5, "idle_s": 1_000})
    await client.send(GET[:10])
    await eventually(lambda: all(c.deadline_s for c in router.worker.admission.clients))
    await client.send(GET[10:20])
    await asyncio.sleep(0.02)
    router.sweep(ahead_s=4)
    assert len(router.worker.admission.clients) == 1
    router.sweep(ahead_s=6)
    response = await client.response()
    assert (response.status, response.error) == (408, "client_timeout")
    assert await client.rest() == b""
    assert (await router.record())["outcome"] is Outcome.CLIENT_TIMEOUT


async def test_a_slow_body(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    origin, router, client = await live.pair(script, timeouts={"idle_s": 5})
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: any(router.in_flight) and origin.links)
    await client.send(b"l")
    await asyncio.sleep(0.02)
    router.sweep(ahead_s=4)
    assert any(router.in_flight)
    router.sweep(ahead_s=6)
    response = await client.response()
    assert (response.status, response.error) == (408, "client_timeout")
    assert await client.rest() == b""
    await eventually(lambda: origin.links[0].ended)
    record = await router.record()
    assert (record["outcome"], record["status"], record["request_bytes"]) == (Outcome.CLIENT_TIMEOUT, 408, 3)


async def test_a_body_that_takes_longer_than_a_request_may(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    origin, router, client = await live.pair(
        script, pool={"timeouts": {"request_s": 5, "response_header_s": 5}}, timeouts={"idle_s": 75}
    )
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: any(router.in_flight) and origin.links)
    await asyncio.sleep(0.02)
    router.sweep(ahead_s=6)
    assert (await client.response()).status == 408
    # The backend was kept waiting; it must not be blamed.
    assert (await router.record())["outcome"] is Outcome.CLIENT_TIMEOUT


async def test_a_response_that_a_client_reads_too_slowly(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(ok(bytes(30_000_000)))

    _origin, router, client = await live.pair(script)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(GET)
    await eventually(lambda: any(c.write_paused for c in router.worker.admission.clients))
    router.sweep(ahead_s=61)
    assert (await router.record())["outcome"] is Outcome.CLIENT_TIMEOUT
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert len(await client.cut()) < 30_000_000


async def test_an_idle_connection_is_closed(live: Live) -> None:
    _origin, router, client = await live.pair(timeouts={"idle_s": 5})
    silent = await live.client(router)
    await client.ask(GET)
    router.sweep(ahead_s=4)
    assert len(router.worker.admission.clients) == 2
    router.sweep(ahead_s=6)
    assert await client.cut() == b""
    assert await silent.cut() == b""
    assert await router.outcomes(1) == [Outcome.COMPLETE]


# Clients that leave


async def _held(link: Link) -> None:
    await link.head()
    await link.end()


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_a_client_that_leaves_before_the_response(live: Live, how: str) -> None:
    origin, router, client = await live.pair(_held)
    await client.send(GET)
    await eventually(lambda: origin.links)
    if how == "close":
        await client.close()
    elif how == "reset":
        client.reset()
    else:
        # A half-close cannot be told from a close, and is taken as one.
        client.writer.write_eof()
        assert await client.rest() == b""
    record = await router.record()
    assert (record["outcome"], record["status"], record["backend"]) == (Outcome.CLIENT_GONE, 0, 0)
    await eventually(lambda: origin.links[0].ended)


async def test_a_client_that_leaves_in_the_middle_of_its_request(live: Live) -> None:
    origin, router, client = await live.pair(_held)
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: origin.links)
    await client.close()
    assert (await router.record())["outcome"] is Outcome.CLIENT_GONE
    await eventually(lambda: origin.links[0].ended)


async def test_a_client_that_leaves_in_the_middle_of_its_response(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
        await link.end()

    origin, router, client = await live.pair(script)
    await client.send(GET)
    await client.reader.readuntil(b"he")
    await client.close()
    record = await router.record()
    assert (record["outcome"], record["status"], record["response_bytes"]) == (Outcome.CLIENT_GONE, 200, 2)
    await eventually(lambda: origin.links[0].ended)


async def test_clients_that_come_and_go_without_a_word(live: Live) -> None:
    _origin, router, client = await live.pair()
    for cut in (0, 1, 10, len(GET) - 1):
        silent = await live.client(router)
        await silent.send(GET[:cut])
        await silent.close()
    assert (await client.ask(GET)).status == 200
    await eventually(lambda: len(router.worker.admission.clients) == 1)
    assert await router.outcomes(1) == [Outcome.COMPLETE]


async def test_a_connection_made_for_a_client_that_left_serves_the_next(live: Live) -> None:
    # The queue of a socket that accepts nothing: the kernel answers the next attempt only when there is room.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with socket.create_connection(busy.getsockname()):
            router = await live.router(address)
            client = await live.client(router)
            await client.send(GET)
            await eventually(lambda: any(router.in_flight))
            await client.close()
            assert (await router.record())["outcome"] is Outcome.CLIENT_GONE
        busy.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            (await loop.sock_accept(busy))[0].close()
            late, _ = await loop.sock_accept(busy)
            # The connection that came too late is kept, and stale when it is used, which a GET survives.
            await asyncio.sleep(0.01)
            client = await live.client(router)
            asking = asyncio.create_task(client.ask(GET))
            assert (await loop.sock_recv(late, 65_536)).startswith(b"GET / ")
            late.close()
            again, _ = await loop.sock_accept(busy)
            assert (await loop.sock_recv(again, 65_536)).startswith(b"GET / ")
            await loop.sock_sendall(again, ok())
            assert (await asking).status == 200
            again.close()


async def test_pipelining_does_not_fill_the_memory(live: Live) -> None:
    finish = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await finish.wait()

    origin, _router, client = await live.pair(script)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        many = request("GET", "/" + "a" * 900) * 100
        for _ in range(400):
            await client.send(many)
            sent += len(many)

    flooding = asyncio.create_task(flood())
    await eventually(lambda: origin.links and sent)
    last = -1
    while last != sent:
        last = sent
        await asyncio.sleep(0.1)
    assert sent < 20_000_000
    assert len(origin.links) == 1
    flooding.cancel()
    client.reset()
    # A connection that is not read from is only known to be gone when the router writes to it.
    finish.set()


async def test_too_many_connections(live: Live) -> None:
    _origin, router, client = await live.pair(limits={"connections": 2})
    second = await live.client(router)
    await asyncio.gather(client.ask(GET), second.ask(GET))
    third = await live.client(router)
    assert await third.cut() == b""
    assert router.gauge(Gauge.CONNECTIONS_REFUSED) == 1
    await second.close()
    await eventually(lambda: len(router.worker.admission.clients) == 1)
    assert (await (await live.client(router)).ask(GET)).status == 200


async def test_a_storm_of_nonsense_leaves_others_alone(live: Live) -> None:
    _origin, router, client = await live.pair(saying(ok()), limits=LIMITS)
    for name in REFUSED:
        bad = await live.client(router)
        await bad.send(REFUSED[name][0])
        bad.reset()
        assert (await client.ask(GET)).status == 200
    await eventually(lambda: len(router.worker.admission.clients) == 1)


async def test_halves_of_empty_lines_earn_no_time(live: Live) -> None:
    _origin, router, client = await live.pair(timeouts={"header_s": 10.0, "idle_s": 15.0})
    await client.send(b"\r\n")
    await eventually(lambda: router.worker.admission.clients)
    at_router: Any = next(iter(router.worker.admission.clients))
    await client.send(b"\r")
    await eventually(lambda: at_router._buffer)
    at_router.deadline_s = monotonic() + 1.0  # as if nine seconds had gone by
    await client.send(b"\n")
    await eventually(lambda: not at_router._buffer)
    await client.send(b"\r")
    await eventually(lambda: at_router._buffer)
    router.sweep(ahead_s=2.0)
    assert at_router._closing


async def test_too_many_headers(live: Live) -> None:
    _origin, _router, client = await live.pair()
    answer = await client.ask(request("GET", "/", *[f"te:{number:x}" for number in range(4000)]))
    assert answer.status == 431


async def test_a_refused_head_has_no_body(live: Live) -> None:
    _origin, _router, client = await live.pair()
    await client.send(b"HEAD / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
    assert (await client.rest()).endswith(b"\r\n\r\n")


async def test_a_long_head_is_not_kept(live: Live) -> None:
    _origin, router, client = await live.pair()
    await client.ask(request("GET", "/", "x-long: " + "a" * 20_000))
    at_router: Any = next(iter(router.worker.admission.clients))
    assert at_router._last is None
