"""A backend that speaks TLS behind a PROXY header."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from smartlb.wire.proxy_protocol import Endpoints, parse

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Guarded:
    """What such a backend was told.

    Attributes:
        address: where it listens.
        headers: what the PROXY header of each connection said.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.headers: list[Endpoints | None] = []


@asynccontextmanager
async def guarded(tls: ssl.SSLContext, serve: Serve) -> AsyncIterator[Guarded]:
    """Serve connections whose header and handshake are over."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    backend = Guarded(f"127.0.0.1:{listening.getsockname()[1]}")
    tasks: set[asyncio.Task[None]] = set()

    async def run(sock: socket.socket) -> None:
        data = b""
        while (header := parse(data)) is None:
            # Byte by byte, for the handshake that follows is not to be touched.
            byte = await loop.sock_recv(sock, 1)
            if not byte:
                sock.close()
                return
            data += byte
        backend.headers.append(header[1])
        reader = asyncio.StreamReader()
        with suppress(OSError, asyncio.IncompleteReadError):
            transport, protocol = await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader), sock, ssl=tls
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await serve(reader, writer)
            finally:
                writer.close()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listening)
            sock.setblocking(False)
            task = loop.create_task(run(sock))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = loop.create_task(accept())
    try:
        yield backend
    finally:
        for task in (accepting, *tasks):
            task.cancel()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)
        listening.close()
