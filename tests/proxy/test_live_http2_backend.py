"""Backends of HTTP/2 that refuse requests, or go away, frame by frame."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, SettingsFrame

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.proxy.graceful_h2 import GracefulH2Connection
from tests.proxy.live import Client, Live, request
from tests.proxy.origin import Link, Script

Answer = Callable[["Http2Link", int], Awaitable[None]]


class Http2Link:
    """The backend's end of one connection."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.h2 = GracefulH2Connection(H2Configuration(client_side=False, header_encoding=False))

    async def flush(self) -> None:
        await self.link.send(self.h2.data_to_send())

    async def ok(self, number: int, body: bytes = b"ok") -> None:
        self.h2.send_headers(number, [(b":status", b"200")])
        self.h2.send_data(number, body, end_stream=True)
        await self.flush()

    async def refuse(self, number: int) -> None:
        self.h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
        await self.flush()

    async def go_away(self, last: int) -> None:
        await self.link.send(GoAwayFrame(0, last_stream_id=last).serialize())


def speaking(answer: Answer) -> Script:
    """A script that hears requests and leaves it to `answer` what becomes of each."""

    async def script(link: Link) -> None:
        peer = Http2Link(link)
        peer.h2.initiate_connection()
        await peer.flush()
        while data := await link.reader.read(65_536):
            events = peer.h2.receive_data(data)
            await peer.flush()
            for event in events:
                if isinstance(event, RequestReceived):
                    await answer(peer, event.stream_id)

    return script


async def test_a_refused_request_goes_to_another_backend(live: Live) -> None:
    refusing = await live.origin(speaking(Http2Link.refuse))
    serving = await live.origin(speaking(Http2Link.ok))
    router = await live.router(refusing, serving, pool={"protocol": "http2"})
    client = await live.client(router)
    for _ in range(4):
        assert (await client.ask(request("POST", "/", body=b"x"))).body == b"ok", "not looked at, so any method may"
    outcomes = [record["outcome"] for record in await router.records(len(router._taken()))]
    assert outcomes.count(Outcome.COMPLETE) == 4
    assert set(outcomes) <= {Outcome.COMPLETE, Outcome.CONNECT_FAILED}


async def test_a_backend_that_refuses_everything_is_asked_once(live: Live) -> None:
    asked = []

    async def refuse(peer: Http2Link, number: int) -> None:
        asked.append(number)
        await peer.refuse(number)

    router = await live.router(await live.origin(speaking(refuse)), pool={"protocol": "http2"})
    client = await live.client(router)
    assert (await client.ask(request())).start.startswith(b"HTTP/1.1 502 ")
    assert asked == [1]


async def test_what_a_goaway_leaves_out_is_sent_over_a_new_connection(live: Live) -> None:
    gone: list[int] = []

    async def answer(peer: Http2Link, number: int) -> None:
        if number == 3 and not gone:
            gone.append(number)
            await peer.go_away(1)
        else:
            await peer.ok(number)

    origin = await live.origin(speaking(answer))
    router = await live.router(origin, pool={"protocol": "http2"})
    client = await live.client(router)
    for _ in range(3):
        assert (await client.ask(request())).body == b"ok"
    assert len(origin.links) == 2
    assert await router.outcomes(3) == [Outcome.COMPLETE] * 3


async def test_a_backend_that_goes_away_at_once_is_no_endless_loop(live: Live) -> None:
    origin = await live.origin(speaking(lambda peer, _number: peer.go_away(0)))
    router = await live.router(origin, pool={"protocol": "http2"})
    client = await live.client(router)
    assert (await client.ask(request())).start.startswith(b"HTTP/1.1 502 ")
    assert len(origin.links) == 1


@pytest.mark.parametrize(
    "headers",
    [[(b":status", b"200"), (b"connection", b"close")], [(b":status", b"200"), (b"a", b"b\r\nc: d")], [(b"a", b"b")]],
)
async def test_a_malformed_response_is_none(live: Live, headers: list[tuple[bytes, bytes]]) -> None:
    async def answer(peer: Http2Link, number: int) -> None:
        peer.h2.config.validate_outbound_headers = peer.h2.config.normalize_outbound_headers = False
        peer.h2.send_headers(number, headers, end_stream=True)
        await peer.flush()

    router = await live.router(await live.origin(speaking(answer)), pool={"protocol": "http2"})
    client = await live.client(router)
    assert (await client.ask(request())).start.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("case", ["none", "less", "more", "less before trailers"])
async def test_a_body_of_another_length_than_announced_ends_its_exchange_alone(live: Live, case: str) -> None:
    async def answer(peer: Http2Link, number: int) -> None:
        if number > 1:
            await peer.ok(number)
            return
        peer.h2.send_headers(number, [(b":status", b"200"), (b"content-length", b"3")], end_stream=case == "none")
        if case != "none":
            peer.h2.send_data(number, b"12345" if case == "more" else b"1", end_stream="trailers" not in case)
        if "trailers" in case:
            peer.h2.send_headers(number, [(b"x-end", b"1")], end_stream=True)
        await peer.flush()

    origin = await live.origin(speaking(answer))
    router = await live.router(origin, pool={"protocol": "http2", "retries": {"retry_on": []}})
    client = await live.client(router)
    assert (await client.ask(request())).status == 502
    assert (await (await live.client(router)).ask(request())).body == b"ok"
    assert len(origin.links) == 1
    broken = (await router.outcomes(2))[0]
    assert broken in (Outcome.RESET, Outcome.TRUNCATED)


async def test_idle_connections_are_closed(live: Live) -> None:
    origin = await live.origin(speaking(Http2Link.ok))
    router = await live.router(origin, pool={"protocol": "http2"})
    client = await live.client(router)
    assert (await client.ask(request())).body == b"ok"
    router.sweep(ahead_s=40)
    assert (await client.ask(request())).body == b"ok"
    assert len(origin.links) == 2
    assert router.gauge(Gauge.CONNECTS) == 2


async def test_no_more_requests_than_a_backend_takes_at_once(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.send(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}).serialize())
        peer = Http2Link(link)
        under_way: set[int] = set()
        finishing: set[asyncio.Task[None]] = set()

        async def finish(number: int) -> None:
            await asyncio.sleep(0.05)
            under_way.discard(number)
            await peer.ok(number)

        while data := await link.reader.read(65_536):
            for event in peer.h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    if len(under_way) >= 2:
                        await peer.refuse(event.stream_id)
                    else:
                        under_way.add(event.stream_id)
                        finishing.add(asyncio.create_task(finish(event.stream_id)))
            await peer.flush()

    router = await live.router(await live.origin(script), pool={"protocol": "http2"})
    clients = [await live.client(router) for _ in range(6)]
    answers = await asyncio.gather(*(client.ask(request()) for client in clients))
    assert [answer.status for answer in answers] == [200] * 6


async def test_a_backend_that_does_not_begin_to_speak(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    async def script(link: Link) -> None:
        await link.end()

    origin = await live.origin(script)
    router = await live.router(origin, pool={"protocol": "http2", "timeouts": {"connect_s": 0.2}})
    answer = await (await live.client(router)).ask(request())
    assert (answer.status, answer.error) == (502, "connect_failed")
    assert caplog.messages == [
        f"pool web: cannot connect to backend {origin.address}: it does not begin to speak HTTP/2"
    ]


async def test_a_304_may_say_a_length(live: Live) -> None:
    async def answer(peer: Http2Link, number: int) -> None:
        peer.h2.send_headers(number, [(b":status", b"304"), (b"content-length", b"5"), (b"etag", b'"a"')])
        peer.h2.send_data(number, b"", end_stream=True)
        await peer.flush()

    router = await live.router(await live.origin(speaking(answer)), pool={"protocol": "http2"})
    client = await live.client(router)
    await client.send(request())
    assert (await client.response(head=True)).status == 304


async def test_a_connection_that_went_silent_is_left(live: Live) -> None:
    async def script(link: Link) -> None:
        if link.number > 1:
            await speaking(Http2Link.ok)(link)
            return
        peer = Http2Link(link)
        peer.h2.initiate_connection()
        await peer.flush()
        await link.end()

    pool = {
        "protocol": "http2",
        "timeouts": {"response_header_s": 1.0},
        "ejection": {"consecutive_failures": 1000},
    }
    router = await live.router(await live.origin(script), pool=pool)
    statuses: list[int] = []
    for _ in range(3):
        client = await live.client(router)
        await client.send(request())
        await asyncio.sleep(0.0 if statuses else 0.7)
        router.sweep(ahead_s=0.0 if statuses else 2.0)
        statuses.append((await client.response()).status)
    assert statuses == [504, 200, 200]


async def test_uploads_and_downloads_at_once_do_not_wait_for_each_other(live: Live) -> None:
    async def script(link: Link) -> None:
        sock = link.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        peer = Http2Link(link)
        peer.h2.initiate_connection()
        peer.h2.increment_flow_control_window(2**24)
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**20})
        await peer.flush()
        echoed: dict[int, bytearray] = {}
        ended: set[int] = set()
        while data := await link.reader.read(65_536):
            for event in peer.h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    peer.h2.send_headers(event.stream_id, [(b":status", b"200")])
                    echoed[event.stream_id] = bytearray()
                elif isinstance(event, DataReceived):
                    echoed[event.stream_id] += event.data
                    peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    ended.add(event.stream_id)
            for number, body in list(echoed.items()):
                while size := min(peer.h2.local_flow_control_window(number), 16_384, len(body)):
                    peer.h2.send_data(number, bytes(body[:size]))
                    del body[:size]
                    await peer.flush()  # and it reads nothing before that is through
                if not body and number in ended:
                    peer.h2.end_stream(number)
                    del echoed[number]
            await peer.flush()

    async def up_and_down(client: Client) -> int:
        sending = asyncio.create_task(client.send(request("POST", "/", f"content-length: {size}"), b"x" * size))
        answer = await client.response()
        await sending
        return len(answer.body)

    size = 400_000
    router = await live.router(await live.origin(script), pool={"protocol": "http2"})
    clients = [await live.client(router) for _ in range(12)]
    async with asyncio.timeout(20):
        assert await asyncio.gather(*map(up_and_down, clients)) == [size] * 12
