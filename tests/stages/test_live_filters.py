"""Stages that see or change bodies as they pass, over real sockets."""

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.stage import BodyFilter
from tests.eventually import eventually
from tests.proxy.http2_client import Http2Client
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, ok, saying
from tests.stages.probes import Late, Loud, Requests, Responses, Tap, Witness

GET = request()
GET10 = b"GET / HTTP/1.0\r\nhost: a.example\r\n\r\n"
KEEP10 = b"GET / HTTP/1.0\r\nhost: a.example\r\nconnection: keep-alive\r\n\r\n"

LENGTH = ok(b"hello")
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"
EMPTY = ok(b"")
RESPONSES = {"length": LENGTH, "chunks": CHUNKS, "until close": UNTIL_CLOSE}
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"

every_response = pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
changing = pytest.mark.parametrize("kind", [Loud, Late])
apart = pytest.mark.parametrize("split", [False, True], ids=["in one piece", "split at every byte"])


def pieces(data: bytes, split: bool) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))] if split else [data]


async def answered(
    live: Live, kind: Callable[[], BodyFilter], *sent: bytes, then_close: bool = False
) -> tuple[Responses, LiveRouter, Client]:
    """A backend whose responses pass through a filter."""
    stage = Responses(kind)
    _, router, client = await live.pair(saying(*sent, then_close=then_close))
    router.stage(stage)
    return stage, router, client


# Responses that are changed


@apart
@changing
@every_response
async def test_a_changed_response(live: Live, response: bytes, kind: type[Loud], split: bool) -> None:
    stage, router, client = await answered(live, kind, *pieces(response, split), then_close=response == UNTIL_CLOSE)
    for turn in (1, 2):
        message = await client.ask(GET)
        assert (message.body, message.trailers) == (b"HELLO!", ())
        assert (message.header(b"transfer-encoding"), message.header(b"content-length")) == (b"chunked", None)
        assert message.header(b"connection") is None, "the connection goes on, also where the backend's does not"
        assert (await router.record())["outcome"] == Outcome.COMPLETE
        assert stage.ends == [(Outcome.COMPLETE, 200)] * turn


@apart
@changing
@every_response
async def test_a_changed_response_to_http_1_0(live: Live, response: bytes, kind: type[Loud], split: bool) -> None:
    _, _, client = await answered(live, kind, *pieces(response, split), then_close=True)
    message = await client.ask(KEEP10)
    assert message.body == b"HELLO!"
    assert message.header(b"transfer-encoding") is message.header(b"content-length") is None
    assert message.header(b"connection") == b"close"


async def test_a_changed_response_of_nothing(live: Live) -> None:
    _, _, client = await answered(live, Loud, EMPTY)
    for _ in range(2):
        assert (await client.ask(GET)).body == b"!"


@pytest.mark.parametrize(
    ("asked", "response"),
    [
        (request("HEAD"), b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (request("HEAD"), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (request("HEAD"), b"HTTP/1.1 200 OK\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: "a"\r\n\r\n'),
    ],
    ids=["HEAD, length", "HEAD, chunks", "HEAD", "204", "304"],
)
async def test_a_response_without_a_body_stays_without(live: Live, asked: bytes, response: bytes) -> None:
    stage, _, client = await answered(live, Loud, response)
    for _ in range(2):
        message = await client.ask(asked)
        assert message.raw.endswith(b"\r\n\r\n")
        assert message.header(b"content-length") is message.header(b"transfer-encoding") is None
    client.writer.write(asked.replace(b"host:", b"connection: close\r\nhost:"))
    assert (await client.rest()).count(b"\r\n\r\n") == 1, "nothing comes after the head"
    await eventually(lambda: len(stage.ends) == 3)


async def test_interim_responses_are_not_changed(live: Live) -> None:
    _, _, client = await answered(live, Loud, b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n" + LENGTH)
    await client.send(GET)
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"
    assert (await client.response()).body == b"HELLO!"


async def test_a_response_that_is_discarded_is_not_seen(live: Live) -> None:
    busy, free = await live.origin(saying(UNAVAILABLE)), await live.origin(saying(LENGTH))
    router = await live.router(busy, free, pool={"retries": {"retry_on": ["503"]}})
    seen: list[int] = []

    class Noting(Responses):
        def response(self, context: Context, head: ResponseHead) -> BodyFilter | None:
            seen.append(head.status)
            return super().response(context, head)

    stage = Noting(Loud)
    router.stage(stage)
    client = await live.client(router)
    assert (await client.ask(GET)).body == b"HELLO!"
    assert (seen, stage.ends) == ([200], [(Outcome.COMPLETE, 200)])
    assert [record["status"] for record in await router.records(2)] == [503, 200]


async def test_a_response_whose_body_is_broken_from_the_start_is_tried_again(live: Live) -> None:
    """What the stage made for it is dropped: the next response passes through a filter of its own."""
    broken = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n"
    bad, good = await live.origin(saying(broken)), await live.origin(saying(CHUNKS))
    router = await live.router(bad, good, pool={"retries": {"retry_on": ["malformed"]}})
    stage = Responses(Late)
    router.stage(stage)
    client = await live.client(router)
    assert (await client.ask(GET)).body == b"HELLO!"
    assert stage.ends == [(Outcome.COMPLETE, 200)]
    assert await router.outcomes(2) == [Outcome.MALFORMED, Outcome.COMPLETE]


@pytest.mark.parametrize("asked", [GET, GET10], ids=["1.1", "1.0"])
@pytest.mark.parametrize("how", ["end", "reset", "a chunk that is none"])
@pytest.mark.parametrize("form", RESPONSES)
async def test_a_response_that_breaks_off_is_not_taken_for_complete(
    live: Live, form: str, how: str, asked: bytes
) -> None:
    if (form, how) in (
        ("until close", "end"),
        ("until close", "a chunk that is none"),
        ("length", "a chunk that is none"),
    ):
        return  # which is no break
    began = RESPONSES[form].partition(b"hel")[0] + b"hel" + (b"\r\n" if form == "chunks" else b"")

    async def script(link: Link) -> None:
        await link.request()
        await link.send(began)
        await sent.wait()
        if how == "a chunk that is none":
            await link.send(b"zzz\r\n")
        elif how == "reset":
            sock = link.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.reset()

    sent = asyncio.Event()
    stage = Responses(Loud)
    _, router, client = await live.pair(script)
    router.stage(stage)
    await client.send(asked)
    head = await client.reader.readuntil(b"\r\n\r\n")
    first = await client.reader.readexactly(3 if asked is GET10 else 8)
    assert b"HEL" in first
    sent.set()
    if asked is GET10:
        with pytest.raises(ConnectionError):
            await client.rest()
    else:
        assert b"transfer-encoding: chunked" in head
        assert await client.cut() == b"", "no last chunk, and no mark at the end"
    record = await router.record()
    assert record["outcome"] == (Outcome.MALFORMED if how == "a chunk that is none" else Outcome.TRUNCATED)
    assert stage.ends == [(record["outcome"], 200)]


@pytest.mark.parametrize("kind", [Loud, Tap])
async def test_who_reads_slowly_holds_the_backend_back(live: Live, kind: type[Loud] | type[Tap]) -> None:
    size = 30_000_000
    sent = 0

    async def script(link: Link) -> None:
        nonlocal sent
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            await link.send(b"a" * 100_000)
            sent += 100_000

    origin = await live.origin(script)
    router = await live.router(origin)
    router.stage(Responses(kind))
    client = await live.slow_client(router)
    await client.send(GET)
    await eventually(lambda: router.states == ["relaying"])
    (connection,) = router.worker.admission.clients
    await eventually(lambda: connection.write_paused)
    held = -1
    while held != sent:
        held = sent
        await asyncio.sleep(0.05)
    assert held < size
    message = await client.response()
    assert message.body == (b"a" * size if kind is Tap else b"A" * size + b"!")


async def test_a_client_that_is_slow_at_the_end_does_not_hold_the_next_request_back(live: Live) -> None:
    """The backend's connection is free by then, and read from again."""
    size = 3_000_000
    origin = await live.origin(saying(ok(b"a" * size)))
    router = await live.router(origin)
    router.stage(Responses(Late))
    client = await live.slow_client(router)
    for _ in range(2):
        await client.send(GET)
        await eventually(lambda: any(each.write_paused for each in router.worker.admission.clients))
        assert len((await client.response()).body) == size + 1
    assert await router.outcomes(2) == [Outcome.COMPLETE] * 2
    assert len(origin.links) == 1


# Requests that are changed

POSTS = {
    "length": request("POST", "/", body=b"hello"),
    "chunks": request("POST", "/", "transfer-encoding: chunked") + b"4;x=y\r\nhell\r\n1\r\no\r\n0\r\nx-sum: 1\r\n\r\n",
    "length 0": request("POST", "/", body=b""),
}


@apart
@changing
@pytest.mark.parametrize("form", ["length", "chunks"])
async def test_a_changed_request(live: Live, form: str, kind: type[Loud], split: bool) -> None:
    stage = Requests(kind)
    origin, router, client = await live.pair()
    router.stage(stage)
    for _ in range(2):
        await client.send(*pieces(POSTS[form], split))
        assert (await client.response()).body == b"HELLO!"
    for message in origin.requests:
        assert (message.body, message.trailers) == (b"HELLO!", ())
        assert (message.header(b"transfer-encoding"), message.header(b"content-length")) == (b"chunked", None)
    assert [record["request_bytes"] for record in await router.records(2)] == [5, 5]


@pytest.mark.parametrize("asked", [GET, request("HEAD"), POSTS["length 0"]], ids=["GET", "HEAD", "POST of nothing"])
async def test_a_request_without_a_body_stays_without(live: Live, asked: bytes) -> None:
    stage = Requests(Loud)
    origin, router, client = await live.pair(saying(EMPTY))
    router.stage(stage)
    for _ in range(3):
        assert (await client.ask(asked)).status == 200
    assert [(message.body, message.header(b"transfer-encoding")) for message in origin.requests] == [(b"", None)] * 3
    assert stage.ends == [(Outcome.COMPLETE, 200)] * 3
    assert len(origin.links) == 1, "and none of it is taken for the next request"


async def test_a_changed_request_that_is_expected(live: Live) -> None:
    async def script(link: Link) -> None:
        head = await link.head()
        assert b"transfer-encoding: chunked" in head
        assert b"100-continue" in head
        await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await link.reader.readuntil(b"0\r\n\r\n")
        await link.send(LENGTH)

    _, router, client = await live.pair(script)
    router.stage(Requests(Loud))
    await client.send(request("POST", "/", "expect: 100-continue", "content-length: 5"))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"hello")
    assert (await client.response()).body == b"hello"


async def test_a_slow_backend_holds_the_client_back(live: Live) -> None:
    size, go = 30_000_000, asyncio.Event()

    async def script(link: Link) -> None:
        await go.wait()
        message = await link.request()
        await link.send(ok(b"%d" % len(message.body)))

    origin, router, client = await live.pair(script)
    router.stage(Requests(Loud))
    sent = 0

    async def upload() -> None:
        nonlocal sent
        await client.send(request("POST", "/", f"content-length: {size}"))
        while sent < size:
            await client.send(b"a" * 100_000)
            sent += 100_000

    task = asyncio.create_task(upload())
    held = -1
    while held != sent or not sent:
        held = sent
        await asyncio.sleep(0.05)
    assert held < size
    go.set()
    await task
    assert (await client.response()).body == b"%d" % (size + 1)
    assert origin.requests[0].body[-3:] == b"AA!"


# Taps


@every_response
async def test_a_tap_leaves_a_response_as_it_is(live: Live, response: bytes) -> None:
    tap = Tap()
    _, _, client = await answered(live, lambda: tap, response, then_close=response == UNTIL_CLOSE)
    message = await client.ask(GET)
    assert (message.body, tap.heard, tap.ends) == (b"hello", b"hello", 1)
    assert message.header(b"content-length") == (b"5" if response == LENGTH else None)
    assert message.header(b"transfer-encoding") == (b"chunked" if response == CHUNKS else None)
    assert message.trailers == (((b"x-sum", b"1"),) if response == CHUNKS else ())


@pytest.mark.parametrize("form", POSTS)
async def test_a_tap_leaves_a_request_as_it_is(live: Live, form: str) -> None:
    tap = Tap()
    origin, router, client = await live.pair()
    router.stage(Requests(lambda: tap))
    assert (await client.ask(POSTS[form])).status == 200
    (message,) = origin.requests
    assert (tap.heard, tap.ends) == (message.body, 1)
    assert message.header(b"content-length") == {"length": b"5", "length 0": b"0"}.get(form)
    assert message.header(b"transfer-encoding") == (b"chunked" if form == "chunks" else None)
    assert message.trailers == (((b"x-sum", b"1"),) if form == "chunks" else ())


@pytest.mark.parametrize("asked", [GET, request("HEAD")], ids=["GET", "HEAD"])
async def test_a_tap_hears_of_the_end_of_nothing(live: Live, asked: bytes) -> None:
    before, after = Tap(), Tap()
    _, router, client = await live.pair(saying(EMPTY))
    router.stage(Requests(lambda: before), Responses(lambda: after))
    message = await client.ask(asked)
    assert message.header(b"content-length") == b"0"
    assert (before.heard, before.ends, after.heard, after.ends) == (b"", 1, b"", 1)


async def test_a_tap_before_and_after_a_change(live: Live) -> None:
    taps = [Tap(), Tap()]
    _, router, client = await live.pair(saying(CHUNKS))
    router.stage(Responses(lambda: taps[0]), Responses(Loud), Responses(lambda: taps[1]))
    message = await client.ask(GET)
    assert (message.body, message.trailers) == (b"HELLO!", ())
    assert [tap.heard for tap in taps] == [b"hello", b"HELLO!"]
    assert [tap.ends for tap in taps] == [1, 1]


# HTTP/2


@every_response
async def test_on_a_stream(live: Live, response: bytes) -> None:
    _, router, client = await live.pair(saying(response, then_close=response == UNTIL_CLOSE))
    stage = Responses(Loud)
    router.stage(stage)
    http2 = await Http2Client(client).start()
    answer = await http2.ask()
    assert (answer.body, answer.header(b"content-length"), answer.ended) == (b"HELLO!", [], True)
    assert stage.ends == [(Outcome.COMPLETE, 200)]


async def test_taps_on_a_stream_keep_length_and_trailers(live: Live) -> None:
    tap = Tap()
    origin, router, client = await live.pair(saying(CHUNKS))
    router.stage(Responses(Tap), Requests(lambda: tap))
    http2 = await Http2Client(client).start()
    answer = await http2.ask(b"POST", b"/", (b"content-length", b"2"), body=b"ab")
    assert (answer.body, answer.trailers) == (b"hello", [(b"x-sum", b"1")])
    assert (origin.requests[0].body, tap.heard, tap.ends) == (b"ab", b"ab", 1)
    assert origin.requests[0].header(b"content-length") == b"2"


@pytest.mark.parametrize("body", [b"hello", None])
async def test_a_changed_request_on_a_stream(live: Live, body: bytes | None) -> None:
    origin, router, client = await live.pair()
    router.stage(Requests(Loud))
    http2 = await Http2Client(client).start()
    answer = await http2.ask(b"POST", body=body)
    assert answer.body == origin.requests[0].body == (b"HELLO!" if body else b"")


async def test_a_stream_that_breaks_off_is_reset(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")

    stage = Witness()
    _, router, client = await live.pair(script)
    router.stage(stage, Responses(Loud))
    http2 = await Http2Client(client).start()
    answer = await http2.ask()
    assert (answer.body, answer.ended) == (b"HEL", False)
    assert answer.reset is not None
    assert stage.ends == [(Outcome.TRUNCATED, 200)]
