"""Random damage to requests and responses: the router answers or closes, lives, and serves the next."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
import uvloop
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, Origin, answering, ok

GOOD = request("POST", "/good", body=b"good")
REQUESTS = [
    request(),
    request("HEAD", "/a?b=c", "Accept: */*", "X-Forwarded-For: 1.2.3.4"),
    request("POST", "/", "Connection: keep-alive, x-a", "X-A: 1", body=b"hello world"),
    request("PUT", "/", "Transfer-Encoding: chunked", "Expect: 100-continue")
    + b"5;a=b\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    b"GET http://a.example/x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
]
RESPONSES = [
    ok(b"hello"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok(b"hello"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nuntil close",
]
TOKENS = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"0",
    b"9" * 25,
    b"Content-Length: 3\r\n",
    b"\r\n\r\n",
    b"\xff",
    b"GET ",
]


@st.composite
def damaged(draw: st.DrawFn, messages: list[bytes]) -> list[bytes]:
    """A few messages in a row with random edits, cut into random pieces."""
    stream = b"".join(draw(st.lists(st.sampled_from(messages), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream)))
        until = draw(st.integers(at, min(len(stream), at + 8)))
        stream = stream[:at] + draw(st.sampled_from([b"", *TOKENS]) | st.binary(max_size=4)) + stream[until:]
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    edges = [0, *cuts, len(stream)]
    return [piece for start, end in pairwise(edges) if (piece := stream[start:end])]


class Stand(logging.Handler):
    """A router and an origin that stay while examples come and go; one loop for all, and its errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        logging.getLogger("smartlb").addHandler(self)
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.unhandled: list[object] = []
        self.live = Live()
        self.origin: Origin
        self.router: LiveRouter
        self.runner.run(self._start())

    async def _start(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self.unhandled.append(context))
        self.origin = await self.live.origin()
        self.router = await self.live.router(self.origin)

    def emit(self, record: logging.LogRecord) -> None:
        self.unhandled.append(record.getMessage())

    def end(self) -> None:
        logging.getLogger("smartlb").removeHandler(self)
        self.runner.run(self.live.end())
        self.runner.close()

    async def good(self) -> None:
        """A good request is served, over connections that have not seen the example."""
        self.origin.script = answering
        for link in self.origin.links:
            link.reset()
        client = await self.live.client(self.router)
        # A POST may still be the one to find out that an idle connection is gone.
        for _ in range(5):
            response = await client.ask(GOOD)
            if (response.status, response.body) == (200, b"good"):
                break
        else:
            raise AssertionError(response)
        await client.close()

    async def settled(self) -> None:
        """Nothing is left in flight, nothing went wrong inside."""
        await eventually(lambda: not any(self.router.in_flight) and not self.router.worker.admission.clients)
        assert not self.unhandled
        self.live.clients.clear()
        for link in self.origin.links:
            link.reset()
        self.origin.links.clear()
        self.origin.requests.clear()


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.end()


FUZZ = settings(max_examples=150, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))


@FUZZ
@given(pieces=damaged(REQUESTS))
def test_damaged_requests(stand: Stand, pieces: list[bytes]) -> None:
    async def example() -> None:
        stand.origin.script = answering
        client = await stand.live.client(stand.router)
        with suppress(ConnectionError):  # it may be closed before the last piece
            await client.send(*pieces)
        received = asyncio.create_task(client.cut())
        await asyncio.sleep(0.002)
        # Whatever is still incomplete is given up at its timeout.
        while not received.done():
            stand.router.sweep(ahead_s=100)
            await asyncio.sleep(0.001)
        assert not received.result() or received.result().startswith(b"HTTP/1.1 ")
        await client.close()
        await stand.good()
        await stand.settled()

    stand.runner.run(example())


@FUZZ
@given(pieces=damaged(RESPONSES), then_close=st.booleans())
def test_damaged_responses(stand: Stand, pieces: list[bytes], then_close: bool) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(*pieces)
        if not then_close:
            await link.end()

    async def example() -> None:
        stand.origin.script = script
        client = await stand.live.client(stand.router)
        await client.send(request(), request())
        await eventually(lambda: stand.origin.links)
        stand.origin.script = answering
        await asyncio.sleep(0.002)
        client.reset()
        await stand.good()
        await stand.settled()

    stand.runner.run(example())
