"""What a hostile HTTP/2 client gets: an end to its stream or its connection, while others are served."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.http2_client import Headers, Http2Client
from tests.proxy.live import Live, LiveRouter
from tests.proxy.origin import Link, answering, ok, saying

TIGHT = {"http2": {"resets_per_s": 1.0, "control_frames_per_s": 2.0, "max_concurrent_streams": 10}}
HEAD: Headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]


async def attacked(live: Live, **settings: object) -> tuple[LiveRouter, Http2Client]:
    router = await live.router(await live.origin(), listener=TIGHT, **settings)  # type: ignore[arg-type]
    return router, await Http2Client(await live.client(router)).start()


async def send(client: Http2Client, *frames: Frame) -> None:
    client.client.writer.write(b"".join(frame.serialize() for frame in frames))


async def assert_calmed(live: Live, router: LiveRouter, client: Http2Client) -> None:
    await client.until(lambda: False)
    assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
    assert router.gauge(Gauge.HTTP2_CALMED) == 1
    other = await Http2Client(await live.client(router)).start()
    assert (await other.ask()).status == 200


async def test_rapid_reset(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    router = await live.router(await live.origin(script), listener=TIGHT)
    client = await Http2Client(await live.client(router)).start()
    for _ in range(30):
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, HEAD, end_stream=True)
        client.h2.reset_stream(number)
    await client.flush()
    await client.until(lambda: False)
    assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
    assert router.gauge(Gauge.HTTP2_CALMED) == 1
    await eventually(lambda: router.in_flight == [0])
    outcomes = await router.outcomes(len(router._taken()))
    assert set(outcomes) == {Outcome.CLIENT_GONE}


@pytest.mark.parametrize(
    "frame",
    [
        lambda number: PingFrame(0, opaque_data=b"%08d" % number),
        lambda _number: SettingsFrame(0, settings={4: 65_535}),
        lambda number: PriorityFrame(2 * number + 1, depends_on=0),
        lambda _number: PingFrame(0, opaque_data=b"12345678", flags=["ACK"]),
        lambda _number: ExtensionFrame(0xFE, 0),
    ],
    ids=["ping", "settings", "priority", "answers to no ping", "unknown"],
)
async def test_floods_of_control_frames(live: Live, frame: Callable[[int], Frame]) -> None:
    router, client = await attacked(live)
    await send(client, *(frame(number) for number in range(100)))
    await assert_calmed(live, router, client)


async def test_a_flood_of_empty_data(live: Live) -> None:
    router, client = await attacked(live)
    number = await client.begin(b"POST", b"/", end=False)
    await send(client, *(DataFrame(number, b"") for _ in range(100)))
    await assert_calmed(live, router, client)
    assert Outcome.CLIENT_GONE in await router.outcomes(2)


async def test_malformed_requests_are_reset_one_by_one_and_then_calmed(live: Live) -> None:
    router, client = await attacked(live)
    for _ in range(5):
        number = await client.send_head([*HEAD, (b"connection", b"close")])
        assert (await client.answer(number)).reset == ErrorCodes.PROTOCOL_ERROR
    assert (await client.ask()).status == 200
    for _ in range(10):
        await client.send_head([*HEAD, (b"upgrade", b"h2c")])
    await assert_calmed(live, router, client)


async def test_more_streams_than_announced(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.end()

    router = await live.router(await live.origin(script), listener=TIGHT)
    client = await Http2Client(await live.client(router)).start()
    await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 10)
    head = client.h2.encoder.encode(HEAD)
    await send(client, *(HeadersFrame(2 * n + 1, head, flags=["END_HEADERS", "END_STREAM"]) for n in range(11)))
    await client.until(lambda: False)
    assert client.goaway not in (None, ErrorCodes.NO_ERROR)
    await eventually(lambda: router.in_flight == [0])


async def test_a_flood_of_continuation_frames(live: Live) -> None:
    router, client = await attacked(live)
    await send(client, HeadersFrame(1, client.h2.encoder.encode(HEAD)))
    await send(client, *(ContinuationFrame(1, b"\x00\x01a\x01b" * 100) for _ in range(1_000)))
    await eventually(lambda: not router.worker.admission.clients)
    assert await router.outcomes(1) == [Outcome.BAD_REQUEST]


async def test_a_header_bomb(live: Live) -> None:
    """One long value, referred to again and again (RFC 7541 section 7.3)."""
    router, client = await attacked(live)
    bomb = client.h2.encoder.encode([*HEAD, (b"x", b"a" * 4_000)])
    bomb += client.h2.encoder.encode([(b"x", b"a" * 4_000)]) * 10_000
    assert len(bomb) < 20_000
    await send(
        client,
        HeadersFrame(1, bomb[:16_384], flags=["END_STREAM"]),
        ContinuationFrame(1, bomb[16_384:], flags=["END_HEADERS"]),
    )
    await client.until(lambda: False)
    assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
    assert await router.outcomes(1) == [Outcome.BAD_REQUEST]


async def test_a_window_that_never_opens_is_given_up(live: Live) -> None:
    router, client = await attacked(live)
    client.h2.update_settings({4: 0})
    await client.flush()
    number = await client.begin(b"POST", b"/", end=False)
    await client.send_body(number, b"x" * 1_000)
    await eventually(lambda: router._taken() != [])
    assert await router.outcomes(1) == [Outcome.COMPLETE]
    router.sweep(ahead_s=1_000)
    answer = await client.answer(number)
    assert answer.body == b""
    assert answer.reset is not None


async def test_a_stream_window_beyond_its_bounds(live: Live) -> None:
    _router, client = await attacked(live)
    number = await client.begin(b"POST", b"/", end=False)
    client.client.writer.write(b"\x00\x00\x04\x08\x00" + number.to_bytes(4, "big") + b"\x7f\xff\xff\xff")
    await client.until(lambda: client.goaway is not None or client.answers[number].reset is not None)
    assert ErrorCodes.FLOW_CONTROL_ERROR in (client.goaway, client.answers[number].reset)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x05",
        RstStreamFrame(7).serialize(),
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x08\x06\x00\x00\x00\x00\x0112345678",
        b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n",
    ],
    ids=["DATA on an idle stream", "RST_STREAM of an idle stream", "too large a frame", "PING on a stream", "HTTP/1.1"],
)
async def test_frames_that_break_the_protocol_end_the_connection(live: Live, data: bytes) -> None:
    router, client = await attacked(live)
    client.client.writer.write(data)
    await client.until(lambda: False)
    assert client.goaway not in (None, ErrorCodes.NO_ERROR)
    assert (await router.record())["outcome"] == Outcome.BAD_REQUEST


async def test_a_client_that_pings_and_does_not_read_is_not_read_either(live: Live) -> None:
    router = await live.router(await live.origin(answering), listener={"http2": {"control_frames_per_s": 100_000.0}})
    client = await Http2Client(await live.client(router)).start()
    client.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    ping = PingFrame(0, opaque_data=b"12345678").serialize() * 10_000
    await eventually(lambda: router.gauge(Gauge.HTTP2_CONNECTIONS) == 1)
    connection = next(iter(router.worker.admission.clients))
    sent = 0
    while not connection.write_paused and sent < 90:
        client.client.writer.write(ping)
        sent += 1
        await asyncio.sleep(0.01)
    assert connection.write_paused
    assert connection.transport.get_write_buffer_size() < 5_000_000


async def test_window_updates(live: Live) -> None:
    router, client = await attacked(live)
    await send(client, *[WindowUpdateFrame(0, window_increment=1)] * 5_000)
    await assert_calmed(live, router, client)


@pytest.mark.parametrize("kind", ["data", "content", "reset", "update"])
async def test_frames_on_a_stream_that_is_over(live: Live, kind: str) -> None:
    router, client = await attacked(live)
    number = await client.begin(b"POST", b"/", end=False)
    over = RstStreamFrame(number, error_code=8)
    frames = {
        "data": DataFrame(number, b""),
        "content": DataFrame(number, b"x"),
        "reset": over,
        "update": WindowUpdateFrame(number, window_increment=1),
    }
    await send(client, over, *[frames[kind]] * 5_000)
    await assert_calmed(live, router, client)


async def test_a_response_that_is_taken_byte_by_byte(live: Live) -> None:
    router = await live.router(await live.origin(saying(ok(bytes(60_000)))), listener=TIGHT)
    client = await Http2Client(await live.client(router)).start()
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    await client.flush()
    number = await client.begin()
    await eventually(lambda: router.worker.admission.clients)
    await asyncio.sleep(0.1)
    await send(client, *[WindowUpdateFrame(number, window_increment=1)] * 5_000)
    await eventually(lambda: router.gauge(Gauge.HTTP2_CALMED) == 1)


async def test_honest_downloads_open_their_windows_as_they_like(live: Live) -> None:
    router = await live.router(await live.origin(saying(ok(bytes(3_000_000)))), listener=TIGHT)
    client = await Http2Client(await live.client(router)).start()
    for _ in range(3):
        assert len((await client.ask()).body) == 3_000_000
    assert router.gauge(Gauge.HTTP2_CALMED) == 0


async def test_the_clients_memory_of_headers_is_not_the_routers(live: Live) -> None:
    redirect = {"name": "r", "redirect": {"to": "https://a.example{path}"}}
    router = await live.router(await live.origin(answering), routes=[redirect])
    client = await Http2Client(await live.client(router)).start()
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**31})
    await client.flush()
    client.h2.decoder.max_allowed_table_size = 2**31
    await client.ask()
    for number in [await client.begin(b"GET", b"/%06d" % each + b"x" * 4000) for each in range(50)]:
        await client.answer(number)
    assert client.h2.decoder.header_table_size <= 4_096


@pytest.mark.parametrize("answers", ["fixed", "no route", "no backend"])
async def test_a_request_that_is_cancelled_as_it_comes_ends_alone(live: Live, answers: str) -> None:
    async def slow(link: Link) -> None:
        await link.request()
        await go.wait()
        await link.send(ok())

    go = asyncio.Event()
    routes: dict[str, dict[str, Any]] = {
        "fixed": {"name": "all", "respond": {"body": "hi"}},
        "no route": {"name": "no", "match": {"path_prefix": "/none"}, "pool": "web"},
        "no backend": {"name": "all", "pool": "web"},
    }
    first = {"name": "slow", "match": {"path_prefix": "/slow"}, "pool": "web"}
    router = await live.router(await live.origin(slow), routes=[first, routes[answers]])
    client = await Http2Client(await live.client(router)).start()
    other = await client.begin(b"GET", b"/slow")
    await eventually(lambda: any(router.in_flight))
    if answers == "no backend":
        router.set_eligible(0)
    number = client.h2.get_next_available_stream_id()
    client.h2.send_headers(number, HEAD, end_stream=True)
    client.h2.reset_stream(number, ErrorCodes.CANCEL)
    await client.flush()
    await asyncio.sleep(0.1)
    go.set()
    assert (await client.answer(other)).status == 200
    assert client.goaway is None


async def test_a_client_that_reads_nothing_is_let_go(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartlb.http2.connection._PATIENCE_S", 0.2)
    listener = {"http2": {"control_frames_per_s": 100_000.0}}
    router = await live.router(await live.origin(answering), listener=listener)
    client = await Http2Client(await live.client(router)).start()
    client.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await eventually(lambda: router.gauge(Gauge.HTTP2_CONNECTIONS) == 1)
    connection: Any = next(iter(router.worker.admission.clients))
    pings = PingFrame(0, opaque_data=b"12345678").serialize() * 10_000
    for _ in range(90):
        if connection.write_paused:
            break
        client.client.writer.write(pings)
        await asyncio.sleep(0.01)
    assert connection.write_paused
    router.sweep(ahead_s=1_000)
    await eventually(lambda: not router.worker.admission.clients)


@pytest.mark.parametrize("limit", ["http2_requests", "http2_requests_per_client"])
async def test_requests_beyond_what_may_be_under_way_are_refused(live: Live, limit: str) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await gate.wait()
        await link.send(ok())

    gate = asyncio.Event()
    router = await live.router(await live.origin(script), limits={limit: 3})
    clients = [await Http2Client(await live.client(router)).start() for _ in range(2)]
    begun = [(client, await client.begin()) for client in (clients[0], clients[0], clients[1])]
    await eventually(lambda: router.in_flight == [3])
    for client in clients:
        assert (await client.answer(await client.begin())).reset == ErrorCodes.REFUSED_STREAM
    gate.set()
    assert [(await client.answer(number)).status for client, number in begun] == [200] * 3
    for client in clients:
        assert (await client.ask()).status == 200
        assert client.goaway is None
    assert router.gauge(Gauge.HTTP2_REFUSED) == 2
    assert await router.outcomes(5) == [Outcome.COMPLETE] * 5


async def test_requests_that_were_given_up_are_not_under_way(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.end()

    router = await live.router(await live.origin(script), limits={"http2_requests": 2})
    for _ in range(3):
        client = await Http2Client(await live.client(router)).start()
        numbers = [await client.begin(), await client.begin()]
        await eventually(lambda: router.in_flight == [2])
        client.h2.reset_stream(numbers[0])
        await client.flush()
        await eventually(lambda: router.in_flight == [1])
        await client.client.close()
        await eventually(lambda: router.in_flight == [0])
    assert router.gauge(Gauge.HTTP2_REFUSED) == 0
    await router.outcomes(6)


async def test_trusted_proxies_have_many_clients(live: Live) -> None:
    router = await live.router(
        await live.origin(answering),
        listener={"trusted_proxies": ["127.0.0.0/8"]},
        limits={"http2_requests_per_client": 1},
    )
    client = await Http2Client(await live.client(router)).start()
    numbers = [await client.begin() for _ in range(5)]
    assert [(await client.answer(number)).status for number in numbers] == [200] * 5
