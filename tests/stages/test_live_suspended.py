"""Stages that wait for something before a request goes on, over real sockets."""

import asyncio
from collections.abc import Awaitable

import pytest

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage
from smartlb.wire.answers import Answer
from smartlb.wire.http1 import RequestRefused
from tests.eventually import eventually
from tests.proxy.http2_client import Http2Client
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Origin
from tests.stages.probes import Gate, Whole, errors

GET = request()
TEAPOT = Answer(418, b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 3\r\n", b"tea")


async def gated(live: Live, *more: Stage) -> tuple[Gate, Origin, LiveRouter, Client]:
    """A gate before an origin that answers."""
    gate = Gate()
    origin, router, client = await live.pair()
    router.stage(gate, *more)
    return gate, origin, router, client


async def test_it_lets_the_request_go_on(live: Live) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    assert router.states == ["suspended"]
    assert (router.in_flight, origin.requests, gate.ends) == ([0], [], [])
    gate.open()
    assert (await client.response()).status == 200
    record = await router.record()
    assert (record["outcome"], record["status"], record["attempt"]) == (Outcome.COMPLETE, 200, 1)
    assert gate.ends == [(Outcome.COMPLETE, 200)]


async def test_its_time_is_not_the_backends(live: Live) -> None:
    gate, _, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    router.worker.clock.ahead_s = 7.0
    gate.open()
    await client.response()
    record = await router.record()
    assert record["queued_s"] >= 7.0
    assert record["first_byte_s"] < 7.0
    assert record["total_s"] < 7.0


async def test_it_answers(live: Live) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    gate.open(TEAPOT)
    response = await client.response()
    assert (response.status, response.body) == (418, b"tea")
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.COMPLETE, 418)
    await client.send(request("HEAD"))
    await eventually(lambda: len(gate.asked) == 2)
    gate.open(TEAPOT)
    assert (await client.response(head=True)).status == 418
    assert (gate.ends, origin.requests) == ([(Outcome.COMPLETE, 418)] * 2, [])


async def test_it_refuses(live: Live) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    gate.fail(RequestRefused(Outcome.BAD_REQUEST, "no"))
    assert (await client.response()).error == "bad_request"
    assert (await router.record())["outcome"] == Outcome.BAD_REQUEST
    await client.send(GET)
    await eventually(lambda: len(gate.asked) == 2)
    gate.open()
    assert (await client.response()).status == 200, "the connection is as good as before"
    assert len(origin.requests) == 1


@pytest.mark.parametrize("when", ["at once", "after a wait", "in a wait that somebody else has cancelled"])
async def test_it_fails(live: Live, caplog: pytest.LogCaptureFixture, when: str) -> None:
    class Broken(Gate):
        def request(self, context: Context) -> Awaitable[Answer | None]:
            if when == "at once":
                raise ZeroDivisionError("unforeseen")
            wait = super().request(context)
            if when != "after a wait":
                self.waiting[0].cancel()
            return wait

    gate = Broken()
    _, router, client = await live.pair()
    router.stage(gate)
    await client.send(GET)
    if when == "after a wait":
        await eventually(lambda: gate.asked)
        gate.fail(ZeroDivisionError("unforeseen"))
    assert (await client.response()).error == "internal"
    assert await client.rest() == b""
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.INTERNAL, 500)
    assert gate.ends == [(Outcome.INTERNAL, 500)]
    (said,) = errors(caplog)
    assert "unforeseen" in said or "CancelledError" in said


async def test_it_takes_too_long(live: Live) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    router.sweep(ahead_s=9.0)
    assert router.states == ["suspended"]
    router.sweep(ahead_s=11.0)
    assert (await client.response()).error == "request_timeout"
    await eventually(lambda: gate.cancelled == 1)
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.REQUEST_TIMEOUT, 504)
    assert gate.ends == [(Outcome.REQUEST_TIMEOUT, 504)]
    await client.send(GET)
    await eventually(lambda: len(gate.asked) == 2)
    gate.waiting.pop(0)
    gate.open()
    assert (await client.response()).status == 200
    assert len(origin.requests) == 1


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_the_client_leaves_meanwhile(live: Live, how: str) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    if how == "reset":
        client.reset()
    else:
        await client.close()
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.CLIENT_GONE, 0)
    await eventually(lambda: gate.cancelled == 1)
    assert (gate.ends, origin.requests) == ([(Outcome.CLIENT_GONE, 0)], [])
    assert not router.worker.admission.clients


async def test_an_error_after_the_client_has_left(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Gate):
        async def wait(self, context: Context, future: asyncio.Future[Answer | None]) -> Answer | None:
            try:
                return await super().wait(context, future)
            except asyncio.CancelledError:
                raise ZeroDivisionError("unforeseen") from None

    gate = Stubborn()
    _, router, client = await live.pair()
    router.stage(gate)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    client.reset()
    assert (await router.record())["outcome"] == Outcome.CLIENT_GONE
    await eventually(lambda: "unforeseen" in caplog.text)
    assert len(errors(caplog)) == 1
    assert gate.ends == [(Outcome.CLIENT_GONE, 0)]


async def test_the_next_request_waits(live: Live) -> None:
    gate, origin, router, client = await gated(live)
    await client.send(request("GET", "/1") + request("GET", "/2"))
    await eventually(lambda: gate.asked)
    assert [context.target for context in gate.asked] == [b"/1"]
    await client.send(request("GET", "/3"))
    gate.open()
    assert (await client.response()).status == 200
    await eventually(lambda: len(gate.asked) == 2)
    gate.open(TEAPOT)
    assert (await client.response()).status == 418
    await eventually(lambda: len(gate.asked) == 3)
    gate.open()
    assert (await client.response()).status == 200
    assert [message.start for message in origin.requests] == [b"GET /1 HTTP/1.1", b"GET /3 HTTP/1.1"]
    assert await router.outcomes(3) == [Outcome.COMPLETE] * 3


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_what_comes_of_the_body_is_kept(live: Live, framing: str) -> None:
    gate, origin, router, client = await gated(live)
    if framing == "length":
        pieces = [request("POST", "/", "content-length: 6"), b"ab", b"cd", b"ef"]
    else:
        pieces = [request("POST", "/", "transfer-encoding: chunked"), b"2\r\nab\r\n", b"4\r\ncd", b"ef\r\n0\r\n\r\n"]
    await client.send(pieces[0] + pieces[1])
    await eventually(lambda: gate.asked)
    await client.send(pieces[2], pieces[3])
    router.sweep(ahead_s=9.0)
    assert origin.requests == []
    gate.open()
    assert (await client.response()).body == b"abcdef"
    assert origin.requests[0].body == b"abcdef"
    assert (await router.record())["request_bytes"] == 6


async def test_a_body_does_not_prolong_the_wait(live: Live) -> None:
    """A piece that is read although reading is paused, as with TLS, leaves the stage's time as it is."""
    gate, _, router, client = await gated(live)
    await client.send(request("POST", "/", "content-length: 6") + b"ab")
    await eventually(lambda: gate.asked)
    (connection,) = router.worker.admission.clients
    connection.data_received(b"cd")
    router.sweep(ahead_s=11.0)
    assert (await client.response()).error == "request_timeout"
    assert await router.outcomes(1) == [Outcome.REQUEST_TIMEOUT]
    assert gate.ends == [(Outcome.REQUEST_TIMEOUT, 504)]


async def test_a_stop_lets_it_finish(live: Live) -> None:
    gate, _, router, client = await gated(live)
    await client.send(GET)
    await eventually(lambda: gate.asked)
    router.worker.drain(1.0)
    assert not router.worker.idle
    assert router.worker.unfinished == 1
    gate.open()
    response = await client.response()
    assert (response.status, response.header(b"connection")) == (200, b"close")
    assert await client.rest() == b""
    await eventually(lambda: router.worker.idle)
    assert gate.ends == [(Outcome.COMPLETE, 200)]


async def test_two_after_each_other(live: Live) -> None:
    second = Gate()
    first, origin, router, client = await gated(live, second)
    await client.send(GET)
    await eventually(lambda: first.asked)
    first.open()
    await eventually(lambda: second.asked)
    assert (router.states, origin.requests) == (["suspended"], [])
    router.sweep(ahead_s=9.0)
    second.open()
    assert (await client.response()).status == 200
    assert first.ends == second.ends == [(Outcome.COMPLETE, 200)]
    await client.send(GET)
    await eventually(lambda: len(first.asked) == 2)
    first.open()
    await eventually(lambda: len(second.asked) == 2)
    client.reset()
    await eventually(lambda: second.cancelled == 1)
    assert first.cancelled == 0
    assert await router.outcomes(2) == [Outcome.COMPLETE, Outcome.CLIENT_GONE]


@pytest.mark.parametrize("order", ["wait first", "body first"])
async def test_with_one_that_needs_the_body(live: Live, order: str) -> None:
    gate, whole = Gate(), Whole()
    origin, router, client = await live.pair()
    router.stage(*((gate, whole) if order == "wait first" else (whole, gate)))
    await client.send(request("POST", "/", "content-length: 4") + b"ab")
    await eventually(lambda: router.states == (["suspended"] if order == "wait first" else ["collecting"]))
    if order == "wait first":
        gate.open()
        await eventually(lambda: router.states == ["collecting"])
        await client.send(b"cd")
    else:
        await client.send(b"cd")
        await eventually(lambda: gate.asked)
        assert router.states == ["suspended"]
        gate.open()
    assert (await client.response()).body == b"abcd"
    assert (whole.seen, origin.requests[0].body) == ([b"abcd"], b"abcd")


async def test_on_a_stream(live: Live) -> None:
    gate, _, router, client = await gated(live)
    http2 = await Http2Client(client).start()
    one = await http2.begin()
    two = await http2.begin(b"POST", end=False)
    await http2.send_body(two, b"abc")
    await eventually(lambda: len(gate.asked) == 2)
    gate.open(TEAPOT)
    assert (await http2.answer(one)).status == 418
    gate.open()
    assert (await http2.answer(two)).body == b"abc"
    three = await http2.begin()
    await eventually(lambda: len(gate.asked) == 3)
    http2.h2.reset_stream(three)
    await http2.flush()
    await eventually(lambda: gate.cancelled == 1)
    assert await router.outcomes(3) == [Outcome.COMPLETE, Outcome.COMPLETE, Outcome.CLIENT_GONE]


async def test_a_stream_that_is_reset_before_the_wait_has_begun(live: Live) -> None:
    gate, _, router, client = await gated(live)
    http2 = await Http2Client(client).start()
    number = http2.h2.get_next_available_stream_id()
    pseudo = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]
    http2.h2.send_headers(number, pseudo, end_stream=True)
    http2.h2.reset_stream(number)
    await http2.flush()
    assert await router.outcomes(1) == [Outcome.CLIENT_GONE]
    assert gate.ends == [(Outcome.CLIENT_GONE, 0)]
