"""A backend that can be disturbed: ``python -m benchmarks.rig.origin HOST:PORT``.

`/events` is a stream of server-sent events, `/socket` switches to WebSocket and sends back the bytes that come,
`/health` answers at once, `/megabyte` with that much, and everything else answers after some milliseconds with a
kilobyte. SIGUSR1 resets every connection, whatever is under way on it.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import random
import signal
import socket
import struct
from typing import Any, cast

import httptools
import uvloop

EVENT_S = 0.1
"""Between two events of a stream."""

_SERVICE_S = 0.01
_BODY = b"x" * 1_000
_MEGABYTE = 1_000_000
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)


def accept_value(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that belongs to a key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest())


class _Connection(asyncio.Protocol):
    """Serves the requests of one connection, one at a time."""

    def __init__(self, every: set["_Connection"]) -> None:
        self._every = every
        self._parser: Any = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._tunnel = False
        self._gone = False
        self._url = self._key = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one.
        self._every.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._gone = True
        self._every.discard(self)

    def reset(self) -> None:
        """End the connection by a reset."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._tunnel:
            self._transport.write(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._tunnel = True
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"sec-websocket-key":
            self._key = value

    def on_message_complete(self) -> None:
        if self._url == b"/socket":
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_value(self._key)
            )
        elif self._url == b"/events":
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._event()
        elif self._url == b"/health":
            self._answer()
        elif self._url == b"/megabyte":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _MEGABYTE + b"x" * _MEGABYTE)
        else:
            self._loop.call_later(random.expovariate(1 / _SERVICE_S), self._answer)

    def _answer(self) -> None:
        if not self._gone:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY))

    def _event(self) -> None:
        if not self._gone:
            self._transport.write(b"9\r\ndata: x\n\n\r\n")
            self._loop.call_later(EVENT_S, self._event)


async def _serve(address: str, longest_s: float) -> None:
    host, _, port = address.rpartition(":")
    every: set[_Connection] = set()

    def reset_all() -> None:
        for connection in list(every):
            connection.reset()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, reset_all)
    server = await loop.create_server(lambda: _Connection(every), host, int(port), backlog=4096)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await server.serve_forever()


def main() -> None:
    """Serve until SIGTERM, or until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig.origin", description=main.__doc__)
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("--for-s", type=float, default=3_600.0, help="how long, at most (default: %(default)g)")
    chosen = parser.parse_args()
    uvloop.run(_serve(chosen.address, chosen.for_s))


if __name__ == "__main__":
    main()
