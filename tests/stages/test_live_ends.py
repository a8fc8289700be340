"""However an exchange ends, its stages hear of it once; and whatever a stage does, the exchange ends."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from smartlb.core.outcome import Outcome
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.stage import BodyFilter, Stage
from smartlb.wire.answers import Answer, error_answer
from tests.eventually import eventually
from tests.proxy.http2_client import Http2Client
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, ok
from tests.stages.probes import Gate, Loud, Requests, Responses, Tap, Whole, Witness, errors

GET = request()
HALF = request("POST", "/", "content-length: 5") + b"he"
UPGRADE = request(
    "GET", "/", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13",
    "sec-websocket-key: " + base64.b64encode(bytes(16)).decode(),
)  # fmt: skip
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)


async def scripted(link: Link) -> None:
    """A backend that does what the target of each request says."""
    while True:
        head = await link.head()
        target = head.split(b" ")[1]
        if target == b"/half":
            await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
            return
        if target == b"/held":
            await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
            await link.end()
        elif target == b"/malformed":
            await link.send(b"nonsense\r\n\r\n")
        elif target == b"/silent":
            await link.end()
        elif b"sec-websocket-key" in head:
            await link.send(SWITCHED)
            await link.end()
        elif target == b"/gone":
            return
        else:
            await link.send(ok())


@dataclass
class Scene:
    """A router whose stage is watched."""

    live: Live
    router: LiveRouter
    client: Client
    witness: Witness
    backend: str

    async def until(self, state: str) -> None:
        await eventually(lambda: self.router.states == [state])


async def complete(scene: Scene) -> None:
    await scene.client.ask(GET)


async def answered(scene: Scene) -> None:
    class Answering(Stage):
        def request(self, _context: Context) -> Answer:
            return error_answer(Outcome.RATE_LIMITED, "no")

    scene.router.stage(Answering(), scene.witness)
    await scene.client.ask(GET)


async def refused_while_the_body_comes(scene: Scene) -> None:
    await scene.client.send(request("POST", "/silent", "transfer-encoding: chunked") + b"1\r\na\r\n")
    await scene.until("sending")
    await scene.client.send(b"zzz\r\n")
    await scene.client.response()


async def gone_while_suspended(scene: Scene) -> None:
    gate = Gate()
    scene.router.stage(scene.witness, gate)
    await scene.client.send(GET)
    await scene.until("suspended")
    scene.client.reset()


async def gone_while_collecting(scene: Scene) -> None:
    scene.router.stage(scene.witness, Whole())
    await scene.client.send(HALF)
    await scene.until("collecting")
    scene.client.reset()


async def gone_while_sending(scene: Scene) -> None:
    await scene.client.send(request("POST", "/silent", "content-length: 5") + b"he")
    await scene.until("sending")
    scene.client.reset()


async def gone_while_awaiting(scene: Scene) -> None:
    await scene.client.send(request("GET", "/silent"))
    await scene.until("awaiting")
    scene.client.reset()


async def gone_while_relaying(scene: Scene) -> None:
    await scene.client.send(request("GET", "/held"))
    await scene.until("relaying")
    scene.client.reset()


async def gone_while_waiting(scene: Scene) -> None:
    await hold(scene)
    scene.client.reset()


async def hold(scene: Scene) -> None:
    """Have the request wait for room."""
    pool = scene.router.worker.pools["web"]
    position = pool.selection.began(0)
    assert position == 0
    await scene.client.send(GET)
    await scene.until("waiting")
    pool.selection.ended(0)  # of which the queue hears nothing


async def waited_too_long(scene: Scene) -> None:
    await hold(scene)
    (client,) = scene.router.worker.admission.clients
    client.timed_out(client.deadline_s)
    assert (await scene.client.response()).error == "queue_timeout"


async def no_backend(scene: Scene) -> None:
    scene.router.set_eligible(0)
    assert (await scene.client.ask(GET)).error == "no_backend"


async def breaks_off(scene: Scene) -> None:
    await scene.client.send(request("GET", "/half"))
    await scene.client.cut()


async def malformed(scene: Scene) -> None:
    assert (await scene.client.ask(request("GET", "/malformed"))).error == "malformed"


async def closed(scene: Scene) -> None:
    assert (await scene.client.ask(request("GET", "/gone"))).error == "reset"


async def too_late(scene: Scene) -> None:
    await scene.client.send(request("GET", "/silent"))
    await scene.until("awaiting")
    scene.router.sweep(ahead_s=1_000.0)
    await scene.client.response()


async def tunnel(scene: Scene) -> None:
    await scene.client.send(UPGRADE)
    assert (await scene.client.response()).status == 101
    await scene.until("tunnel")
    await scene.client.close()


ENDINGS: dict[str, tuple[Callable[[Scene], Awaitable[None]], Outcome, int]] = {
    "complete": (complete, Outcome.COMPLETE, 200),
    "a stage answers": (answered, Outcome.RATE_LIMITED, 429),
    "the body is malformed": (refused_while_the_body_comes, Outcome.BAD_REQUEST, 400),
    "the client leaves while suspended": (gone_while_suspended, Outcome.CLIENT_GONE, 0),
    "while collecting": (gone_while_collecting, Outcome.CLIENT_GONE, 0),
    "while waiting": (gone_while_waiting, Outcome.CLIENT_GONE, 0),
    "while sending": (gone_while_sending, Outcome.CLIENT_GONE, 0),
    "while awaiting": (gone_while_awaiting, Outcome.CLIENT_GONE, 0),
    "while relaying": (gone_while_relaying, Outcome.CLIENT_GONE, 200),
    "waited too long": (waited_too_long, Outcome.QUEUE_TIMEOUT, 503),
    "no backend": (no_backend, Outcome.NO_BACKEND, 503),
    "the response breaks off": (breaks_off, Outcome.TRUNCATED, 200),
    "the response is malformed": (malformed, Outcome.MALFORMED, 502),
    "the backend closes": (closed, Outcome.RESET, 502),
    "the backend is too slow": (too_late, Outcome.REQUEST_TIMEOUT, 504),
    "a tunnel": (tunnel, Outcome.COMPLETE, 101),
}


@pytest.mark.parametrize(("play", "outcome", "status"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_stages_hear_of_the_end_once(
    live: Live, play: Callable[[Scene], Awaitable[None]], outcome: Outcome, status: int
) -> None:
    origin = await live.origin(scripted)
    router = await live.router(
        {"address": origin.address, "max_in_flight": 1},
        pool={"upgrades": ["websocket"], "queue": {"max_waiting": 1, "timeout_s": 5}},
    )
    witness = Witness()
    router.stage(witness)
    await play(Scene(live, router, await live.client(router), witness, origin.address))
    await eventually(lambda: witness.ends)
    record = await router.record()
    assert (record["outcome"], record["status"]) == (outcome, status)
    await eventually(lambda: not any(router.in_flight))
    await asyncio.sleep(0)
    assert witness.ends == [(outcome, status)]


async def test_after_a_retry_too(live: Live) -> None:
    bad, good = await live.origin(scripted), await live.origin()
    router = await live.router(bad, good, pool={"retries": {"retry_on": ["reset"]}})
    witness = Witness()
    router.stage(witness)
    client = await live.client(router)
    assert (await client.ask(request("GET", "/gone"))).status == 200
    assert witness.ends == [(Outcome.COMPLETE, 200)]
    assert await router.outcomes(2) == [Outcome.RESET, Outcome.COMPLETE]


# Stages that fail


class Unforeseen(Exception):
    """What no stage should do."""


class FailsToFeed(Loud):
    def feed(self, _data: bytes) -> bytes:
        raise Unforeseen


class FailsToEnd(Loud):
    def end(self) -> bytes:
        raise Unforeseen


class FailsToEndUnchanged(Tap):
    def end(self) -> bytes:
        raise Unforeseen


class FailsLater(Loud):
    def feed(self, data: bytes) -> bytes:
        if data == b"he":
            return data
        raise Unforeseen


class At(Stage):
    """Fails at one moment."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def request(self, _context: Context) -> None:
        if self._moment == "request":
            raise Unforeseen

    def request_body(self, _context: Context) -> BodyFilter | None:
        if self._moment == "request_body":
            raise Unforeseen
        return None

    def response(self, _context: Context, _head: ResponseHead) -> BodyFilter | None:
        if self._moment == "response":
            raise Unforeseen
        return None


BEFORE_THE_RESPONSE: dict[str, Stage] = {
    "request": At("request"),
    "request_body": At("request_body"),
    "response": At("response"),
    "a request's body": Requests(FailsToFeed),
    "its later pieces": Requests(FailsLater),
    "its end": Requests(FailsToEnd),
    "a response's body": Responses(FailsToFeed),
}


@pytest.mark.parametrize("stage", BEFORE_THE_RESPONSE.values(), ids=BEFORE_THE_RESPONSE.keys())
async def test_a_stage_that_fails_before_the_response(
    live: Live, caplog: pytest.LogCaptureFixture, stage: Stage
) -> None:
    witness = Witness()
    _, router, client = await live.pair()
    router.stage(witness, stage)
    await client.send(HALF)
    await asyncio.sleep(
        0.01
    )  # so that the rest is most likely a piece of its own; it all fails as well where it is not
    await client.send(b"llo")
    assert (await client.response()).error == "internal"
    assert witness.ends == [(Outcome.INTERNAL, 500)]
    record = await router.record()
    assert (record["outcome"], record["status"]) == (Outcome.INTERNAL, 500)
    (said,) = errors(caplog)
    assert "Unforeseen" in said


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(
    ("kind", "length"), [(FailsLater, True), (FailsToEnd, True), (FailsToEnd, False)], ids=["body", "end", "close"]
)
async def test_a_stage_that_fails_in_the_response(
    live: Live, caplog: pytest.LogCaptureFixture, kind: type[Loud], length: bool, version: bytes
) -> None:
    began = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\n%s\r\nhe" % (b"content-length: 5\r\n" if length else b""))
        await began.wait()
        if length:
            await link.send(b"llo")
            await link.end()

    stage = Responses(kind)
    _, router, client = await live.pair(script)
    router.stage(stage)
    await client.send(GET.replace(b"1.1", version))
    await client.reader.readuntil(b"\r\n\r\n")
    began.set()
    if version == b"1.1":
        assert b"0\r\n" not in await client.cut(), "it must not look complete"
    else:
        with pytest.raises(ConnectionError):
            await client.rest()
    assert await router.outcomes(1) == [Outcome.INTERNAL]
    assert stage.ends == [(Outcome.INTERNAL, 200)]
    (said,) = errors(caplog)
    assert "Unforeseen" in said


async def test_a_tap_that_fails_when_all_is_sent(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    stage = Responses(FailsToEndUnchanged)
    _, router, client = await live.pair()
    router.stage(stage)
    await client.ask(request("POST", "/", body=b"hello"))
    assert stage.ends == [(Outcome.INTERNAL, 200)]
    assert await router.outcomes(1) == [Outcome.INTERNAL]
    (said,) = errors(caplog)
    assert "Unforeseen" in said


async def test_a_stage_that_fails_when_all_is_over(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Stage):
        def done(self, _context: Context, _outcome: Outcome, _status: int) -> None:
            raise Unforeseen

    witness = Witness()
    _, router, client = await live.pair()
    router.stage(Failing(), witness)
    for _ in range(2):
        assert (await client.ask(GET)).status == 200, "the connection goes on"
    assert witness.ends == [(Outcome.COMPLETE, 200)] * 2
    assert len(errors(caplog)) == 2
    assert await router.outcomes(2) == [Outcome.COMPLETE] * 2


@pytest.mark.parametrize("moment", ["request", "response"])
async def test_a_stage_that_fails_on_a_stream(live: Live, caplog: pytest.LogCaptureFixture, moment: str) -> None:
    witness = Witness()
    _, router, client = await live.pair()
    router.stage(witness, At(moment))
    http2 = await Http2Client(client).start()
    assert (await http2.ask()).status == 500
    router.stage(witness)
    assert (await http2.ask()).status == 200, "other streams go on"
    assert witness.ends == [(Outcome.INTERNAL, 500), (Outcome.COMPLETE, 200)]
    assert len(errors(caplog)) == 1
