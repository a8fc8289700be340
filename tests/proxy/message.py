"""HTTP/1.1 messages as the tests read them, by code that shares nothing with the router's."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response as it came.

    Attributes:
        start: the first line.
        headers: name in lower case and value, in order.
        body: with its framing taken off.
        trailers: like `headers`.
        raw: every byte of it.
    """

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    raw: bytes = b""

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def error(self) -> Any:
        """The router's own answer: its body as JSON, which must agree with the status."""
        assert self.header(b"content-type") == b"application/json"
        content = json.loads(self.body)
        assert set(content) == {"error", "status", "message"}
        assert content["status"] == self.status
        return content["error"]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: bytes) -> bytes | None:
        found = self.values(name)
        assert len(found) < 2, f"{name!r} came {len(found)} times"
        return found[0] if found else None


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


async def read_message(reader: asyncio.StreamReader, *, request: bool, bodiless: bool = False) -> Message:
    """Read one message.

    Args:
        reader: where it comes from.
        request: requests without a length have no body, responses without one end with the connection.
        bodiless: it answers a HEAD request.

    Raises:
        asyncio.IncompleteReadError: the connection ended before the message did.
        ConnectionError: it was reset.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].split(b"\r\n")
    headers = _fields(lines)
    found = dict(headers)
    status = 0 if request else int(start.split(b" ")[1])
    if bodiless or (not request and (status < 200 or status in (204, 304))):
        return Message(start, headers, raw=head)
    if b"transfer-encoding" in found:
        assert found[b"transfer-encoding"] == b"chunked"
        assert b"content-length" not in found
        return await _chunked(reader, start, headers, head)
    if b"content-length" in found:
        body = await reader.readexactly(int(found[b"content-length"]))
    else:
        body = b"" if request else await reader.read()
    return Message(start, headers, body, raw=head + body)


async def _chunked(
    reader: asyncio.StreamReader, start: bytes, headers: list[tuple[bytes, bytes]], head: bytes
) -> Message:
    raw, body = [head], []
    while True:
        line = await reader.readuntil(b"\r\n")
        raw.append(line)
        size = int(line[:-2], 16)
        if size == 0:
            break
        chunk = await reader.readexactly(size + 2)
        assert chunk[-2:] == b"\r\n"
        raw.append(chunk)
        body.append(chunk[:-2])
    trailers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(line[:-2])
        raw.append(line)
    return Message(start, headers, b"".join(body), tuple(_fields(trailers)), b"".join(raw) + b"\r\n")
