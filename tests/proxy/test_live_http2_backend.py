"""Backends of HTTP/2 that refuse requests, or go away, frame by frame."""

from collections.abc import Awaitable, Callable

import pytest
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from hyperframe.frame import GoAwayFrame

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.proxy.http2.connection import GracefulH2Connection
from tests.proxy.live import Live, request
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
    await client.send(request())
    if "trailers" not in case:
        assert (await client.response()).status == 502
    else:
        await client.cut()
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
