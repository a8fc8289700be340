"""What backends do wrong: the client always learns of it, and nothing of one exchange leaks into the next."""

import asyncio
import socket

import pytest

from smartlb.core.outcome import Outcome
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, answering, ok, saying

GET = request()
POST = request("POST", body=b"hello")


def refusing() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        return f"127.0.0.1:{once.getsockname()[1]}"


MALFORMED: dict[str, bytes] = {
    "no-http": b"hello\r\n\r\n",
    "status": b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
    "version": b"HTTP/3.0 200 OK\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\ncontent-length: 0\n\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "both-framings": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "endless-head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_response(live: Live, name: str) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(MALFORMED[name])
        await link.end()

    origin, router, client = await live.pair(script)
    response = await client.ask(GET)
    assert (response.status, response.error) == (502, "malformed")
    record = await router.record()
    assert (record["outcome"], record["status"], record["backend"]) == (Outcome.MALFORMED, 502, 0)
    await eventually(lambda: origin.links[0].ended)
    origin.script = answering
    assert (await client.ask(GET)).status == 200


CHUNK_OF_NOTHING = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"

CUT: dict[str, bytes] = {
    "content-length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe",
    "no-body-yet": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    "last-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n",
}


@pytest.mark.parametrize("http10", [False, True])
@pytest.mark.parametrize("name", CUT)
async def test_a_response_that_breaks_off(live: Live, name: str, http10: bool) -> None:
    origin, router, client = await live.pair(saying(CUT[name], then_close=True))
    await client.send(b"GET / HTTP/1.0\r\n\r\n" if http10 else GET)
    # An HTTP/1.0 client gets no chunks: only a reset tells it that this end is not the response's.
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.response()
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.TRUNCATED, 200)
    origin.script = answering
    assert (await (await live.client(router)).ask(GET)).status == 200


@pytest.mark.parametrize("started", [False, True])
async def test_a_malformed_chunk(live: Live, started: bool) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        if started:
            await seen.wait()
        await link.send(b"zz\r\n")
        await link.end()

    seen = asyncio.Event()
    origin = await live.origin(script if started else saying(CHUNK_OF_NOTHING))
    router = await live.router(origin)
    client = await live.client(router)
    await client.send(GET)
    if started:
        await client.reader.readuntil(b"\r\n\r\n")
        seen.set()
        assert await client.cut() == b""
    else:
        # Nothing of it had been sent.
        response = await client.response()
        assert (response.status, response.error) == (502, "malformed")
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.MALFORMED, 200 if started else 502)


async def test_a_response_until_close_that_is_reset(live: Live) -> None:
    seen = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await seen.wait()
        _reset_on_close(link)

    _origin, router, client = await live.pair(script)
    await client.send(GET)
    await client.reader.readuntil(b"hello")
    seen.set()
    with pytest.raises(ConnectionError):
        await client.rest()
    assert (await router.record())["outcome"] is Outcome.TRUNCATED


def _reset_on_close(link: Link) -> None:
    sock = link.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\ncont", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
@pytest.mark.parametrize("reset", [False, True])
async def test_no_response(live: Live, before: bytes, reset: bool) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(before)
        if reset:
            _reset_on_close(link)

    origin, router, client = await live.pair(script)
    response = await client.ask(GET)
    if response.status == 103:
        response = await client.response()
    assert (response.status, response.error, response.header(b"connection")) == (502, "reset", None)
    record = await router.record()
    assert (record["outcome"], record["status"], record["attempt"]) == (Outcome.RESET, 502, 1)
    assert len(origin.requests) == 1


@pytest.mark.parametrize("reset", [False, True])
async def test_a_backend_that_closes_what_it_accepts(live: Live, reset: bool) -> None:
    async def script(link: Link) -> None:
        if reset:
            _reset_on_close(link)

    _origin, router, client = await live.pair(script)
    for _ in range(50):
        assert (await client.ask(GET)).status == 502
    outcomes = set(await router.outcomes(50))
    assert outcomes <= {Outcome.RESET, Outcome.CONNECT_FAILED}


EXCESS: dict[str, bytes] = {
    "content-length": ok(b"ok") + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
    "head": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\nsecret",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsecret",
}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", EXCESS)
async def test_more_than_was_asked_for_leaks_nowhere(live: Live, name: str, later: bool) -> None:
    cut = len(EXCESS[name]) - (6 if name != "content-length" else len(ok(b"secret")))

    async def script(link: Link) -> None:
        await link.request()
        if later:
            await link.send(EXCESS[name][:cut])
            await sent.wait()
            await link.send(EXCESS[name][cut:])
        else:
            await link.send(EXCESS[name])
        await link.end()

    sent = asyncio.Event()
    origin, router, client = await live.pair(script)
    response = await client.ask(request("HEAD" if name == "head" else "GET"))
    assert b"secret" not in response.raw
    sent.set()
    await eventually(lambda: origin.links[0].ended)
    origin.script = answering
    for _ in range(2):
        response = await client.ask(POST)
        assert response.body == b"hello"
    assert len(origin.links) == 2
    assert set(await router.outcomes(3)) == {Outcome.COMPLETE}


async def test_a_backend_that_speaks_unasked(live: Live) -> None:
    speak = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(ok())
        await speak.wait()
        await link.send(ok(b"unasked"))
        await link.end()

    origin, _router, client = await live.pair(script)
    await client.ask(GET)
    origin.script = answering
    speak.set()
    await eventually(lambda: origin.links[0].ended)
    assert (await client.ask(POST)).body == b"hello"
    assert len(origin.links) == 2


async def test_a_slow_backend(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        response = ok(b"hello")
        for at in range(len(response)):
            await asyncio.sleep(0.001)
            await link.send(response[at : at + 1])

    _origin, router, client = await live.pair(script)
    assert (await client.ask(GET)).body == b"hello"
    record = await router.record()
    assert record["first_byte_s"] < record["total_s"]


# Stale connections


async def _once_then_stale(link: Link) -> None:
    """Answers one request, and closes at the next without a word; the origin's later links answer all."""
    await link.request()
    await link.send(ok())
    if link.number > 1:
        await answering(link)
    await link.reader.read(1)


async def test_a_get_on_a_stale_connection_is_sent_again(live: Live) -> None:
    origin, router, client = await live.pair(_once_then_stale)
    await client.ask(GET)
    assert (await client.ask(GET)).status == 200
    assert len(origin.links) == 2
    records = await router.records(2)
    assert [(record["outcome"], record["attempt"]) for record in records] == [(Outcome.COMPLETE, 1)] * 2
    assert router.worker.front.services.stale_retries == 1


async def test_a_post_on_a_stale_connection_is_not_sent_again(live: Live) -> None:
    origin, router, client = await live.pair(_once_then_stale)
    await client.ask(GET)
    response = await client.ask(POST)
    assert (response.status, response.error) == (502, "reset")
    assert len(origin.links) == 1
    assert await router.outcomes(2) == [Outcome.COMPLETE, Outcome.RESET]


async def test_a_put_whose_body_is_gone_is_not_sent_again(live: Live) -> None:
    origin, router, client = await live.pair(_once_then_stale)
    await client.ask(GET)
    response = await client.ask(request("PUT", "/", "content-length: 5") + b"he")
    assert (response.status, response.error, response.header(b"connection")) == (502, "reset", b"close")
    assert len(origin.links) == 1
    assert await router.outcomes(2) == [Outcome.COMPLETE, Outcome.RESET]


async def test_a_backend_that_went_away_while_idle(live: Live) -> None:
    """The retry finds nobody, and another backend has the request."""
    first = await live.origin(_once_then_stale)
    second = await live.origin()
    router = await live.router(first, second)
    client = await live.client(router)
    await client.ask(GET)
    await client.ask(GET)
    first.close_listener()
    assert (await client.ask(GET)).status == 200
    records = (await router.records(4))[2:]
    assert [(record["outcome"], record["attempt"], record["backend"]) for record in records] == [
        (Outcome.CONNECT_FAILED, 1, 0),
        (Outcome.COMPLETE, 2, 1),
    ]


async def test_closed_idle_connections_are_not_used(live: Live) -> None:
    origin, router, client = await live.pair(saying(ok(), then_close=True))
    for _ in range(5):
        await client.ask(POST)
        await asyncio.sleep(0.01)
    assert len(origin.links) == 5
    assert router.worker.front.services.stale_retries == 0
    assert set(await router.outcomes(5)) == {Outcome.COMPLETE}


async def test_idle_connections_are_closed_in_time(live: Live) -> None:
    origin, router, client = await live.pair(pool={"idle_connections": {"timeout_s": 5}})
    await client.ask(GET)
    router.sweep(ahead_s=4)
    await client.ask(GET)
    assert len(origin.links) == 1
    router.sweep(ahead_s=6)
    await eventually(lambda: origin.links[0].ended)
    assert (await client.ask(GET)).status == 200


async def test_only_so_many_connections_stay_idle(live: Live) -> None:
    together = asyncio.Barrier(3)

    async def script(link: Link) -> None:
        await link.request()
        await together.wait()
        await link.send(ok())
        await link.end()

    origin, router, _ = await live.pair(script, pool={"idle_connections": {"max_per_backend": 1}})
    await asyncio.gather(*[(await live.client(router)).ask(GET) for _ in range(3)])
    await eventually(lambda: sum(link.ended for link in origin.links) == 2)


# Connecting


async def test_a_refused_connection_goes_to_another_backend(live: Live) -> None:
    origin = await live.origin()
    router = await live.router(refusing(), origin)
    client = await live.client(router)
    for body in (b"one", b"two"):
        assert (await client.ask(request("POST", body=body))).body == body
    records = await router.records(3)
    assert sorted((r["backend"], r["attempt"], r["status"], r["outcome"]) for r in records) == [
        (0, 1, 0, Outcome.CONNECT_FAILED),
        (1, 1, 200, Outcome.COMPLETE),
        (1, 2, 200, Outcome.COMPLETE),
    ]


async def test_a_body_that_still_comes_goes_to_another_backend(live: Live) -> None:
    """Also over a connection that is idle there, as the rest of the body waits at the client."""
    origin = await live.origin()
    router = await live.router(origin, refusing())
    client = await live.client(router)
    await client.ask(GET)
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: router.in_flight == [1, 0])
    await client.send(b"llo")
    assert (await client.response()).body == b"hello"
    assert len(origin.links) == 1
    records = (await router.records(3))[1:]
    assert [record["outcome"] for record in records] == [Outcome.CONNECT_FAILED, Outcome.COMPLETE]


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_everybody_refuses(live: Live, count: int) -> None:
    router = await live.router(*[refusing() for _ in range(count)])
    client = await live.client(router)
    response = await client.ask(GET)
    assert (response.status, response.error, response.header(b"connection")) == (502, "connect_failed", None)
    records = await router.records(min(count, 2))
    assert all(record["outcome"] is Outcome.CONNECT_FAILED for record in records)
    assert records[-1]["status"] == 502
    assert [record["status"] for record in records[:-1]] == [0] * (len(records) - 1)


async def test_a_name_that_does_not_resolve(live: Live) -> None:
    router = await live.router("no-such-host.invalid:80")
    response = await (await live.client(router)).ask(GET)
    assert (response.status, response.error) == (502, "connect_failed")
    await router.record()


async def test_a_connection_that_takes_too_long(live: Live) -> None:
    # The queue of a socket that accepts nothing: the kernel leaves further attempts without an answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy, socket.create_connection(busy.getsockname()):
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        router = await live.router(address, pool={"timeouts": {"connect_s": 0.05}})
        response = await (await live.client(router)).ask(GET)
        assert (response.status, response.error) == (504, "connect_timeout")
        record = await router.record()
        assert (record["outcome"], record["status"]) == (Outcome.CONNECT_TIMEOUT, 504)


# Timeouts


async def _silent(link: Link) -> None:
    await link.request()
    await link.end()


async def test_no_response_in_time(live: Live) -> None:
    origin, router, client = await live.pair(_silent, pool={"timeouts": {"response_header_s": 5, "request_s": 50}})
    await client.send(GET)
    await eventually(lambda: origin.requests)
    router.sweep(ahead_s=4)
    assert router.in_flight == [1]
    router.sweep(ahead_s=6)
    response = await client.response()
    assert (response.status, response.error, response.header(b"connection")) == (504, "response_timeout", None)
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.RESPONSE_TIMEOUT, 504)
    await eventually(lambda: origin.links[0].ended)
    origin.script = answering
    assert (await client.ask(GET)).status == 200


async def test_a_request_takes_too_long_as_a_whole(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
        await link.end()

    origin, router, client = await live.pair(script, pool={"timeouts": {"response_header_s": 5, "request_s": 50}})
    await client.send(GET)
    await client.reader.readuntil(b"he")
    router.sweep(ahead_s=49)
    assert router.in_flight == [1]
    router.sweep(ahead_s=51)
    assert await client.cut() == b""
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.REQUEST_TIMEOUT, 200)
    await eventually(lambda: origin.links[0].ended)


async def test_a_backend_that_stops_reading_a_body_is_to_blame(live: Live) -> None:
    async def script(link: Link) -> None:
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()

    done = asyncio.Event()
    _origin, router, client = await live.pair(script, pool={"timeouts": {"request_s": 50}}, timeouts={"idle_s": 5})
    sending = asyncio.create_task(client.send(request("POST", "/", "content-length: 50000000") + bytes(50_000_000)))
    await eventually(lambda: any(router.in_flight))
    exchange = next(client.exchange for client in router.worker.admission.clients)
    assert exchange is not None
    await eventually(lambda: exchange.attempt.connection and exchange.attempt.connection.write_paused)
    router.sweep(ahead_s=51)
    assert (await router.record())["outcome"] is Outcome.REQUEST_TIMEOUT
    assert (await client.response()).status == 504
    client.reset()
    await asyncio.wait([sending])
    done.set()


async def test_an_early_answer_frees_a_backend_that_reads_no_more(live: Live) -> None:
    """What the backend would never take must not keep its connection open."""
    done = asyncio.Event()

    async def script(link: Link) -> None:
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await answer.wait()
        await link.send(ok(b"enough"))
        await done.wait()
        link.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await link.end()

    answer = asyncio.Event()
    origin, router, client = await live.pair(script)
    sending = asyncio.create_task(client.send(request("POST", "/", "content-length: 50000000") + bytes(50_000_000)))
    await eventually(lambda: any(router.in_flight))
    exchange = next(client.exchange for client in router.worker.admission.clients)
    assert exchange is not None
    await eventually(lambda: exchange.attempt.connection and exchange.attempt.connection.write_paused)
    connection = exchange.attempt.connection
    assert connection is not None
    answer.set()
    assert (await client.response()).body == b"enough"
    await eventually(lambda: connection.transport.get_write_buffer_size() == 0)
    done.set()
    client.reset()
    await asyncio.wait([sending])
    assert origin.requests == []


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
@pytest.mark.parametrize("protocol", ["http1", "http2"])
async def test_a_host_that_cannot_be_a_name(live: Live, host: str, protocol: str) -> None:
    router = await live.router("127.0.0.1:1", pool={"protocol": protocol})
    router.worker.pools["web"].connections._address[0] = (host, 80)
    client = await live.client(router)
    for _ in range(2):
        assert (await client.ask(request())).status == 502
    assert await router.outcomes(2) == [Outcome.CONNECT_FAILED] * 2


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_host_that_cannot_be_a_name_at_layer_4(live: Live, protocol: str) -> None:
    router = await live.router("127.0.0.1:1", listener={"protocol": protocol, "pool": "web"})
    router.worker.pools["web"].connections._address[0] = ("a..b", 80)
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.connect(("127.0.0.1", router.port))
        if protocol == "udp":
            sock.send(b"x")
        assert (await router.record())["outcome"] is Outcome.CONNECT_FAILED
    assert router.in_flight == [0]


async def test_a_backend_that_ends_while_it_is_sent_to(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)
        await link.send(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\nno")
        link.writer.write_eof()
        await over.wait()

    over = asyncio.Event()
    origin, router, client = await live.pair(script)
    sending = asyncio.create_task(client.send(request("POST", "/", "content-length: 20000000"), bytes(20_000_000)))
    # Its answer ends with its side of the connection, whatever it has not taken.
    record = await router.record()
    assert (record["status"], record["outcome"]) in {(403, Outcome.COMPLETE), (403, Outcome.TRUNCATED)}
    sending.cancel()
    over.set()
    client.reset()
    origin.failures.clear()


async def test_a_request_that_the_backend_has_begun_is_not_sent_twice(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(ok())
        await link.request()
        await link.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.05)

    origin, _router, client = await live.pair(script, pool={"retries": {"max_attempts": 1}})
    await client.ask(GET)
    await client.send(request("DELETE", "/x"))
    assert (await client.response()).status == 102
    assert (await client.response()).status == 502
    assert [each.start for each in origin.requests].count(b"DELETE /x HTTP/1.1") == 1


async def test_clients_do_not_hear_of_addresses(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    client = await live.client(await live.router(address))
    for _ in range(2):
        answer = await client.ask(GET)
        assert (answer.status, answer.error) == (502, "connect_failed")
        assert address not in answer.body.decode()
    said = [each.getMessage() for each in caplog.records]
    assert said == [f"pool web: cannot connect to backend {address}: Connection refused"]


async def test_an_answer_that_asks_for_another_protocol_names_it(live: Live) -> None:
    head = b"HTTP/1.1 426 Upgrade Required\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n"
    _origin, _router, client = await live.pair(saying(head))
    answer = await client.ask(GET)
    assert (answer.header(b"upgrade"), answer.header(b"connection")) == (b"h2c", b"upgrade")


async def test_a_head_of_http10_has_no_transfer_coding(live: Live) -> None:
    _origin, _router, client = await live.pair(saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"))
    await client.send(b"HEAD / HTTP/1.0\r\nhost: a\r\n\r\n")
    assert b"transfer-encoding" not in await client.rest()


async def test_a_backend_that_does_not_say_go_on(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        asked.set()
        await link.end()

    asked = asyncio.Event()
    _origin, router, client = await live.pair(script)
    await client.send(request("POST", "/", "expect: 100-continue", "content-length: 5"))
    await asked.wait()
    router.sweep(ahead_s=31)
    answer = await client.response()
    record = await router.record()
    assert (answer.status, record["outcome"]) == (504, Outcome.RESPONSE_TIMEOUT)


async def test_a_head_of_http10_is_told_that_the_router_drains(live: Live) -> None:
    _origin, router, client = await live.pair(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"))
    await eventually(lambda: router.worker.admission.clients)
    router.worker.drain(5.0)
    await client.send(b"HEAD / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
    assert b"connection: close" in (await client.rest()).lower()
