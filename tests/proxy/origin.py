"""A backend that does on each connection what the test's script says, down to the byte."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from tests.eventually import eventually
from tests.proxy.message import Message, read_message


class Link:
    """The backend's end of one connection.

    Attributes:
        number: counts the origin's connections, from 1.
        ended: whether the router has closed it.
    """

    def __init__(
        self, origin: "Origin", number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.ended = False
        self._origin = origin

    async def request(self) -> Message:
        """The next request; the origin keeps it in its list."""
        message = await read_message(self.reader, request=True)
        self._origin.requests.append(message)
        return message

    async def head(self) -> bytes:
        """The next request's head alone."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a segment of its own as far as the kernel lets us."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Wait until the router closes or resets the connection; what it still sends is dropped."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass
        self.ended = True

    def reset(self) -> None:
        """Close the connection at once, unsent bytes and all."""
        self.writer.transport.abort()


Script = Callable[[Link], Awaitable[None]]


def ok(body: bytes = b"ok", *headers: bytes) -> bytes:
    """A plain response."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (lines, len(body), body)


async def answering(link: Link) -> None:
    """Answer every request with its own body."""
    while True:
        await link.send(ok((await link.request()).body))


def saying(*pieces: bytes, then_close: bool = False) -> Script:
    """A script that answers each request with the same bytes, and may close after the first."""

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await link.send(*pieces)
            if then_close:
                return

    return script


class Origin:
    """A backend on a port of its own.

    Attributes:
        requests: every request that a script read, in order.
        links: every connection so far.
        failures: what went wrong in a script that was not the router's going away.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Message] = []
        self.links: list[Link] = []
        self.failures: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> "Origin":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, len(self.links) + 1, reader, writer)
        self.links.append(link)
        task = asyncio.get_running_loop().create_task(self._run(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, link: Link) -> None:
        try:
            await self.script(link)
        except (asyncio.IncompleteReadError, ConnectionError):
            link.ended = True
        except Exception as failure:
            self.failures.append(failure)
        finally:
            link.writer.close()

    def close_listener(self) -> None:
        """Refuse connections from now on."""
        assert self._server is not None
        self._server.close()

    async def stop(self) -> None:
        """Close everything, and tell what went wrong in the scripts."""
        self.close_listener()
        for task in list(self._tasks):
            task.cancel()
        await eventually(lambda: not self._tasks)
        for link in self.links:
            link.reset()
        assert not self.failures, self.failures
