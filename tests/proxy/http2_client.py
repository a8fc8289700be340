"""A client that speaks HTTP/2 by way of h2, and can be made to break its rules."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.proxy.graceful_h2 import GracefulH2Connection
from tests.proxy.live import Client

Headers = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    """What has come on a stream."""

    headers: Headers = field(default_factory=list)
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    interim: list[bytes] = field(default_factory=list)
    ended: bool = False
    reset: ErrorCodes | int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.headers)[b":status"])

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class Http2Client:
    """One connection."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.h2 = GracefulH2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.answers: dict[int, Answer] = {}
        self.goaway: ErrorCodes | int | None = None
        self.goaway_last = -1
        self.closed = False
        self.takes = True

    async def start(self) -> "Http2Client":
        self.h2.initiate_connection()
        await self.flush()
        return self

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.client.writer.write(data)
            await self.client.writer.drain()

    async def begin(
        self, method: bytes = b"GET", path: bytes = b"/", *headers: tuple[bytes, bytes], end: bool = True
    ) -> int:
        """Open a stream with a request's head; returns its number."""
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a.example")]
        return await self.send_head([*pseudo, *headers], end=end)

    async def send_head(self, headers: Headers, *, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.h2.send_headers(number, headers, end_stream=end)
        await self.flush()
        return number

    async def send_body(self, number: int, body: bytes, *, end: bool = True) -> None:
        """Send content as the windows allow."""
        while body:
            await self.until(lambda: self.h2.local_flow_control_window(number) > 0)
            size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body))
            self.h2.send_data(number, body[:size], end_stream=end and size == len(body))
            body = body[size:]
            await self.flush()

    async def ask(
        self, method: bytes = b"GET", path: bytes = b"/", *headers: tuple[bytes, bytes], body: bytes | None = None
    ) -> Answer:
        """A request and the answer to it."""
        number = await self.begin(method, path, *headers, end=body is None)
        if body is not None:
            await self.send_body(number, body)
        return await self.answer(number)

    async def answer(self, number: int) -> Answer:
        """The whole answer on a stream, or its reset."""
        answer = self.answers[number]
        await self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        """Take in what comes until something holds, or the connection is closed."""
        async with asyncio.timeout(10):
            while not holds() and not self.closed:
                await self.take()

    async def take(self) -> None:
        """Take in what comes next."""
        try:
            data = await self.client.reader.read(65_536)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, ConnectionTerminated):
                self.goaway, self.goaway_last = event.error_code, event.last_stream_id or 0
                continue
            answer = self.answers.get(getattr(event, "stream_id", None) or 0)
            if answer is None:
                continue
            if isinstance(event, ResponseReceived):
                answer.headers = list(event.headers)
            elif isinstance(event, InformationalResponseReceived):
                answer.interim.append(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                answer.body += event.data
                if self.takes:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, TrailersReceived):
                answer.trailers = list(event.headers)
            elif isinstance(event, StreamEnded):
                answer.ended = True
            elif isinstance(event, StreamReset):
                answer.reset = event.error_code
        await self.flush()
