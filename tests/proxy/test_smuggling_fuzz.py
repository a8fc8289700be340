"""Differential fuzzing: whatever a client sends, router and backend see the same requests.

The backend is h11, which shares nothing with the router's parsers. ``FUZZ_EXAMPLES`` asks for more than the suite has
time for, and for other examples at each run: ``make fuzz``.
"""

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from typing import Any

import h11
import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.smuggling.__main__ import ROUTER
from benchmarks.smuggling.backends import Recorder, h11_backend
from benchmarks.smuggling.case import PROBE, Case
from benchmarks.smuggling.corpus import CORPUS
from benchmarks.smuggling.running import judge
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(EXAMPLES or 400),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_LONGEST_SEED = 600

# Requests that are sound, requests that nearly are, and the corpus.

STARTS = st.sampled_from(
    (
        b"GET / HTTP/1.1",
        b"POST /p HTTP/1.1",
        b"HEAD /h HTTP/1.1",
        b"PUT /p HTTP/1.0\r\nConnection: keep-alive",
        b"POST http://b.example/p HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    )
)
FIELDS = st.sampled_from(
    (b"", b"A: b\r\n", b"Connection: keep-alive, a\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n")
)
CONTENTS = st.sampled_from((b"", b"hello", b"\r\n", b"0\r\n\r\n", PROBE, b"Content-Length: 3\r\n\r\nabc"))
EXTENSIONS = st.sampled_from((b"", b"", b";a", b' ; a="b;c"'))
TRAILERS = st.sampled_from((b"", b"", b"A: b\r\n", b"Content-Length: 5\r\n"))


@st.composite
def sound(draw: st.DrawFn) -> bytes:
    """A valid request."""
    start = draw(STARTS)
    head = start + b"\r\nHost: a.example\r\n" + draw(FIELDS)
    framing = draw(st.sampled_from(("none", "length", "chunks")))
    if framing == "chunks" and b"HTTP/1.1" in start:
        chunks = [content for content in draw(st.lists(CONTENTS, max_size=3)) if content]
        body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), draw(EXTENSIONS), chunk) for chunk in chunks)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + draw(TRAILERS) + b"\r\n"
    if framing == "length":
        content = draw(CONTENTS)
        return head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    return head + b"\r\n"


BLANKS = st.sampled_from((b"", b" ", b"\t", b" \t", b"\x0b", b"\r", b"\n ", b"\r\n ", b"\xa0", b"\0"))
NAMES = st.sampled_from(
    (b"Content-Length", b"Transfer-Encoding", b"content_length", b"Host", b"Connection", b"X-Forwarded-For")
)
VALUES = st.sampled_from(
    (
        *(b"0", b"5", b"05", b"+5", b"0x5", b"5, 5", b"", b"9" * 19, b"a.example"),
        *(b"chunked", b"Chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"xchunked"),
        *(b"close", b"content-length", b"transfer-encoding, host"),
    )
)
LINE_ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b""))
LINES = st.tuples(NAMES, BLANKS, st.just(b":"), BLANKS, VALUES, BLANKS, LINE_ENDS).map(b"".join)
TOKENS = st.sampled_from(
    (
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"5", b"f", b"x", b"-", b"\xff"),
        *(b"\n\r", b"\r\r", b"\n\n", b"XX", b"\r\n\r\n", b"\r\n\r", b"0\r\n\r\n", b"GET /s HTTP/1.1\r\n"),
    )
)
SEEDS = st.sampled_from(
    [case.sent for cases in CORPUS.values() for case in cases if len(case.sent) <= _LONGEST_SEED and not case.cut]
)
_JOINTS = b"\r\n:;0123456789"


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A few requests in a row, changed in a few places, mostly between their parts, and cut into pieces."""
    requests = draw(st.lists(sound(), min_size=1, max_size=2))
    if draw(st.booleans()):
        requests.append(draw(SEEDS))
    stream = b"".join(requests)
    for _ in range(draw(st.integers(0, 2))):
        joints = [at for at, byte in enumerate(stream) if byte in _JOINTS] or [0]
        at = draw(st.sampled_from(joints) | st.integers(0, len(stream)))
        until = min(len(stream), at + draw(st.sampled_from((0, 0, 1, 2))))
        stream = stream[:at] + draw(st.just(b"") | TOKENS | TOKENS | LINES | st.binary(max_size=2)) + stream[until:]
    stream += PROBE
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(stream)), max_size=3))), len(stream)]
    return [piece for start, end in pairwise(edges) if (piece := stream[start:end])]


def read_by_h11(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Method and body of the requests in a stream, as far as h11 can read it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    found: list[tuple[bytes, bytes]] = []
    with suppress(h11.RemoteProtocolError):
        while isinstance(request := connection.next_event(), h11.Request):
            body = b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                break
            found.append((request.method, body))
            connection.send(h11.Response(status_code=400, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break
            connection.start_next_cycle()
    return found


class Stand:
    """A router and a backend that stay while examples come and go, and what the router writes down of each request."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stack = AsyncExitStack()
        self._live = Live()
        self._recorder = Recorder()
        self._router: LiveRouter
        self._log, self._workers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.setblocking(False)
        self._workers_end.setblocking(False)
        self._runner.run(self._start())

    async def _start(self) -> None:
        backend = await self._stack.enter_async_context(h11_backend(self._recorder))
        self._router = await self._live.router(backend, access_log=self._workers_end, timeouts=ROUTER["timeouts"])

    def end(self) -> None:
        self._runner.run(self._end())
        self._runner.close()
        self._log.close()
        self._workers_end.close()

    async def _end(self) -> None:
        await self._live.end()
        await self._stack.aclose()

    def check(self, pieces: list[bytes]) -> None:
        self._runner.run(self._check(pieces))

    async def _check(self, pieces: list[bytes]) -> None:
        self._recorder.records.clear()
        received = await self._sent(pieces)
        await eventually(lambda: not any(self._router.in_flight) and not self._router.worker.admission.clients)
        seen = self._recorder.records
        assert not self._recorder.rejected, "the backend takes whatever the router forwards"

        # The client's answers are those to the requests that the backend saw.
        stream = b"".join(pieces)
        assert not (problem := judge(Case("", stream, "", ()), received, seen).problem), problem

        # The router means to have forwarded what the backend saw.
        known = [
            (shown(record.method), shown(record.target), shown(record.value(b"x-request-id") or b""), len(record.body))
            for record in seen
        ]
        assert self._meant() == known

        # And a reader of the client's own bytes sees the same requests, as far as it can follow.
        read = read_by_h11(stream)
        both = min(len(read), len(seen))
        assert [(record.method, record.body) for record in seen][:both] == read[:both]

    async def _sent(self, pieces: list[bytes]) -> bytes:
        """All that a client gets for these pieces; what is incomplete is given up at its timeout."""
        client = await self._live.client(self._router)
        received = asyncio.create_task(client.cut())
        with suppress(ConnectionError):
            await client.send(*pieces)
        await asyncio.sleep(0.002)
        while not received.done():
            self._router.sweep(ahead_s=2.0)
            await asyncio.sleep(0.001)
        await client.close()
        self._live.clients.clear()
        return received.result()

    def _meant(self) -> list[tuple[str, str, str, int]]:
        """Method, target, id and body length of the requests that were forwarded whole and answered."""
        self._router.tick()
        found: list[dict[str, Any]] = []
        with suppress(BlockingIOError):
            while True:
                found += map(json.loads, self._log.recv(1 << 20).splitlines())
        return [
            (line["method"], line["target"], line["request_id"], line["request_bytes"])
            for line in found
            if line["outcome"] == "complete"
        ]


def shown(data: bytes) -> str:
    """As the access log shows it."""
    return data.decode(errors="backslashreplace")


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.end()


@FUZZ
@given(pieces=streams())
@example(pieces=[b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", PROBE])
def test_router_and_backend_see_the_same_requests(stand: Stand, pieces: list[bytes]) -> None:
    stand.check(pieces)
