"""Stages that need the whole body of a request, over real sockets."""

import asyncio
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context
from tests.eventually import eventually
from tests.proxy.http2_client import Http2Client
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, ok, saying
from tests.proxy.test_live_hedging import Held, warm
from tests.stages.probes import Requests, Tap, Whole, Witness, errors

GET = request()
EXPECTS = ("expect: 100-continue", "content-length: 5")
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


def longer(body: bytes) -> bytes:
    return b"<" + body * 3 + b">"


FORMS = {
    "length": request("PUT", body=b"hello"),
    "chunks": request("PUT", "/", "transfer-encoding: chunked") + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-sum: 1\r\n\r\n",
}


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "split at every byte"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_it_sees_all_and_replaces_it(live: Live, form: bytes, apart: bool) -> None:
    stage = Whole(change=longer)
    origin, router, client = await live.pair()
    router.stage(stage)
    for _ in range(2):
        await client.send(*([form[at : at + 1] for at in range(len(form))] if apart else [form]))
        assert (await client.response()).body == b"<hellohellohello>"
    assert stage.seen == [b"hello", b"hello"]
    for message in origin.requests:
        assert (message.body, message.header(b"content-length")) == (b"<hellohellohello>", b"17")
        assert message.header(b"transfer-encoding") is None
    assert [record["request_bytes"] for record in await router.records(2)] == [5, 5]
    assert stage.ends == [(Outcome.COMPLETE, 200)] * 2


async def test_it_takes_the_body_away(live: Live) -> None:
    origin, router, client = await live.pair()
    router.stage(Whole(change=lambda _: b""))
    for form in FORMS.values():
        assert (await client.ask(form)).body == b""
    assert [message.header(b"content-length") for message in origin.requests] == [b"0", b"0"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_without_a_body(live: Live, method: str) -> None:
    stage = Whole()
    origin, router, client = await live.pair(saying(ok(b"")))
    router.stage(stage)
    for _ in range(2):
        assert (await client.ask(request(method))).status == 200
    assert stage.seen == [b"", b""]
    for message in origin.requests:
        assert message.header(b"content-length") is message.header(b"transfer-encoding") is None


async def test_a_request_that_gets_a_body(live: Live) -> None:
    origin, router, client = await live.pair()
    tap = Tap()
    router.stage(Whole(change=longer), Requests(lambda: tap))
    assert (await client.ask(GET)).body == b"<>"
    assert (origin.requests[0].body, tap.heard, tap.ends) == (b"<>", b"<>", 1)


async def test_the_router_itself_says_continue(live: Live) -> None:
    stage = Whole()
    origin, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", *EXPECTS))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (router.states, origin.requests) == (["collecting"], [])
    await client.send(b"he", b"llo")
    assert (await client.response()).body == b"hello"
    assert origin.requests[0].header(b"expect") is None
    assert await client.ask(request("POST", "/", *EXPECTS) + b"again"), "who does not wait is not told"
    assert stage.seen == [b"hello", b"again"]


@pytest.mark.parametrize("form", [FORMS["length"], FORMS["chunks"], request("POST", "/", *EXPECTS)])
async def test_a_body_that_is_too_long(live: Live, form: bytes) -> None:
    stage = Whole(most=4)
    origin, router, client = await live.pair()
    router.stage(stage)
    await client.send(form)
    response = await client.response()
    assert (response.status, response.error) == (413, "body_too_large")
    assert (stage.seen, stage.ends) == ([], [(Outcome.BODY_TOO_LARGE, 413)])
    assert (await router.record())["outcome"] == Outcome.BODY_TOO_LARGE
    assert origin.requests == []


async def test_a_body_that_becomes_too_long(live: Live) -> None:
    stage = Whole(most=4)
    _, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", "transfer-encoding: chunked") + b"3\r\nabc\r\n")
    await eventually(lambda: router.states == ["collecting"])
    await client.send(b"3\r\ndef\r\n")
    response = await client.response()
    assert (response.status, response.header(b"connection")) == (413, b"close")
    assert await client.rest() == b""
    assert await router.outcomes(1) == [Outcome.BODY_TOO_LARGE]


async def test_each_stage_has_a_limit_of_its_own(live: Live) -> None:
    small = Whole(most=4)
    _, router, client = await live.pair()
    router.stage(Whole(most=100), small)
    assert (await client.ask(FORMS["length"])).status == 413
    assert small.seen == []
    router.stage(Whole(most=100, change=lambda body: body[:4]), small)
    assert (await client.ask(FORMS["length"])).body == b"hell"


async def test_a_body_that_does_not_come(live: Live) -> None:
    stage = Whole()
    _, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: router.states == ["collecting"])
    router.sweep(ahead_s=10_000.0)
    assert (await client.response()).error == "client_timeout"
    assert stage.ends == [(Outcome.CLIENT_TIMEOUT, 408)]
    assert await router.outcomes(1) == [Outcome.CLIENT_TIMEOUT]


async def test_a_body_that_breaks_the_protocol(live: Live) -> None:
    stage = Whole()
    _, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", "transfer-encoding: chunked") + b"3\r\nabc\r\n")
    await eventually(lambda: router.states == ["collecting"])
    await client.send(b"zzz\r\n")
    assert (await client.response()).error == "bad_request"
    assert stage.ends == [(Outcome.BAD_REQUEST, 400)]
    assert await router.outcomes(1) == [Outcome.BAD_REQUEST]


async def test_a_client_that_leaves_before_the_end(live: Live) -> None:
    stage = Whole()
    _, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: router.states == ["collecting"])
    client.reset()
    assert await router.outcomes(1) == [Outcome.CLIENT_GONE]
    assert (stage.seen, stage.ends) == ([], [(Outcome.CLIENT_GONE, 0)])


async def test_a_retry_sends_what_took_its_place(live: Live) -> None:
    busy, free = await live.origin(saying(UNAVAILABLE)), await live.origin()
    router = await live.router(busy, free, pool={"retries": {"retry_on": ["503"]}})
    stage = Whole(change=longer)
    router.stage(stage, Requests(Tap))
    client = await live.client(router)
    assert (await client.ask(FORMS["chunks"])).body == b"<hellohellohello>"
    assert busy.requests[0].body == free.requests[0].body == b"<hellohellohello>"
    assert stage.seen == [b"hello"]
    assert stage.ends == [(Outcome.COMPLETE, 200)]
    assert [record["attempt"] for record in await router.records(2)] == [1, 2]


async def test_a_hedge_sends_what_took_its_place(live: Live) -> None:
    slow, quick = Held(ok(b"slow")), Held(ok(b"quick"))
    quick.go[0].set()
    origins, router, client = await warm(live, slow, quick)
    stage = Whole(change=longer)
    router.stage(stage)
    assert (await client.ask(FORMS["length"])).body == b"quick"
    assert [origin.requests[-1].body for origin in origins] == [b"<hellohellohello>"] * 2
    assert stage.ends == [(Outcome.COMPLETE, 200)]
    assert sorted(await router.outcomes(2)) == [Outcome.COMPLETE, Outcome.HEDGE_LOST]


@pytest.mark.parametrize("early", [b"", b"he"])
async def test_only_who_asks_for_the_body_may_replace_it(
    live: Live, caplog: pytest.LogCaptureFixture, early: bytes
) -> None:
    class Rash(Witness):
        def request(self, context: Context) -> None:
            context.body = b"mine"

    stage = Rash()
    origin, router, client = await live.pair()
    router.stage(stage)
    await client.send(request("POST", "/", "content-length: 5") + early)
    assert (await client.response()).error == "internal"
    assert stage.ends == [(Outcome.INTERNAL, 500)]
    assert await router.outcomes(1) == [Outcome.INTERNAL]
    (said,) = errors(caplog)
    assert "Stage.whole_body" in said
    assert origin.requests == []


async def test_a_connection_whose_backend_answers_before_it_has_taken_the_new_body(live: Live) -> None:
    """The backend has an answer for a GET that has become a long one: its connection is not used again."""
    go = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(ok(b"%d" % link.number))
        await go.wait()
        await link.end()

    _, router, client = await live.pair(script)
    router.stage(Whole(change=lambda _: bytes(8_000_000)))
    assert (await client.ask(GET)).body == b"1"
    assert (await client.ask(GET)).body == b"2"
    go.set()


async def test_on_a_stream(live: Live) -> None:
    stage = Whole(most=40, change=longer)
    origin, router, client = await live.pair()
    router.stage(stage)
    http2 = await Http2Client(client).start()
    assert (await http2.ask(b"POST", b"/", body=b"hello")).body == b"<hellohellohello>"
    assert origin.requests[0].header(b"content-length") == b"17"
    number = await http2.begin(b"POST", b"/", (b"expect", b"100-continue"), end=False)
    await http2.until(lambda: http2.answers[number].interim == [b"100"])
    await http2.send_body(number, b"hello")
    assert (await http2.answer(number)).body == b"<hellohellohello>"
    assert (await http2.ask(b"POST", b"/", body=bytes(41))).status == 413
    assert stage.seen == [b"hello", b"hello"]


async def test_a_copy_of_a_request_that_gets_a_body(live: Live) -> None:
    original, copy = await live.origin(), await live.origin()
    pools = {"web": {"backends": [original.address]}, "next": {"backends": [copy.address]}}
    router = await live.router(pools=pools, routes=[{"name": "all", "pool": "web", "mirror": {"pool": "next"}}])
    client = await live.client(router)
    mirror: Any = router.worker.front.plans[0].request_bodies[0]
    router.stage(Whole(change=longer), mirror.__self__)
    for _ in range(2):
        assert (await client.ask(GET)).body == b"<>"
    assert (await client.ask(FORMS["chunks"])).status == 200
    await eventually(lambda: len(copy.requests) == 3)
    assert [message.body for message in copy.requests] == [b"<>", b"<>", b"<hellohellohello>"]
    await eventually(lambda: not any(router.in_flight))
