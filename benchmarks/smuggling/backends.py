"""Backends that write down every request they see, behind parsers that share nothing: aiohttp's, h11's and nginx's."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import h11
from aiohttp import web

from benchmarks.peers import nginx
from benchmarks.rig.processes import Server, free_address
from benchmarks.rig.reachable import await_listener

NUMBER: Final = b"x-record"
"""The header of an answer that says which record it belongs to."""

METHOD: Final = b"x-method"
"""The header of an answer that repeats the request's method."""

_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Record:
    """A whole request, as a backend has read it.

    Attributes:
        number: counts the requests that a recorder has seen.
        method, target: as they came.
        headers: names in lower case and values, in order.
        body: with its framing taken off.
    """

    number: int
    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def value(self, name: bytes) -> bytes | None:
        """The header's values joined by ``, ``, None where there are none."""
        found = [value for key, value in self.headers if key == name]
        return b", ".join(found) if found else None

    @property
    def client(self) -> str:
        """The address that the router saw; empty for a request that the router did not send as one."""
        return (self.value(b"x-forwarded-for") or b"").rpartition(b",")[2].strip().decode("latin-1")


class Recorder:
    """The requests that one backend has seen, in order.

    Attributes:
        records: all so far.
        rejected: what its parser refused, each in a sentence.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.rejected: list[str] = []

    def record(self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Record:
        """Write a request down."""
        fields = tuple((bytes(name).lower(), bytes(value)) for name, value in headers)
        record = Record(len(self.records) + 1, bytes(method), bytes(target), fields, body)
        self.records.append(record)
        return record


def _answer_headers(record: Record) -> dict[str, str]:
    return {NUMBER.decode(): str(record.number), METHOD.decode(): record.method.decode("latin-1")}


@asynccontextmanager
async def aiohttp_backend(recorder: Recorder) -> AsyncIterator[str]:
    """aiohttp's server, with its parser in C; gives its HOST:PORT."""

    async def handle(request: web.BaseRequest) -> web.Response:
        try:
            body = await request.read()
        except ConnectionError:  # the router has broken off a request that it refuses
            return web.Response(status=400)
        record = recorder.record(request.method.encode(), request.raw_path.encode(), request.raw_headers, body)
        return web.Response(body=body, headers=_answer_headers(record))

    server = web.Server(handle, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await server.shutdown(1.0)


@asynccontextmanager
async def h11_backend(recorder: Recorder) -> AsyncIterator[str]:
    """A small server around h11, a parser in Python that is strict; gives its HOST:PORT."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_serve_h11(recorder, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve_h11(recorder: Recorder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_READ_BYTES)
    try:
        while True:
            request, body = await _next_request(connection, reader)
            if request is None:
                return
            record = recorder.record(request.method, request.target, list(request.headers), body)
            headers = [(name.encode(), value.encode("latin-1")) for name, value in _answer_headers(record).items()]
            response = h11.Response(status_code=200, headers=[*headers, (b"content-length", b"%d" % len(body))])
            writer.write(connection.send(response) or b"")
            if request.method != b"HEAD":
                writer.write(connection.send(h11.Data(data=body)) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            if connection.our_state is not h11.DONE:
                return  # one side has said close
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        recorder.rejected.append(f"{error}; the last request was {recorder.records[-1:]}")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nserver: h11\r\ncontent-length: 0\r\n\r\n")
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    """The next whole request and its body; None where the connection ends before."""
    request: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_READ_BYTES)
            if not data:
                return None, b""  # the router may break off what its client has broken off
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return request, body
        else:
            return None, b""


def nginx_config(address: str, folder: Path, recording: str) -> str:
    """nginx.conf of a server that hands on what it has parsed, odd headers included, to `recording`."""
    return f"""\
{nginx.main_section(folder, 1, 1024)}\
http {{
  access_log off;
{nginx.temporary_paths(folder)}
  client_max_body_size 0;
  large_client_header_buffers 4 64k;
  underscores_in_headers on;
  ignore_invalid_headers off;
  server {{
    listen {address};
    location / {{
      proxy_pass http://{recording};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


@asynccontextmanager
async def nginx_backend(program: Sequence[str], longest_s: float, recorder: Recorder) -> AsyncIterator[str]:
    """nginx, which parses, before the h11 server, which writes down; gives nginx's HOST:PORT.

    Raises:
        BenchmarkError: nginx does not start.
    """
    async with h11_backend(recorder) as recording:
        with tempfile.TemporaryDirectory(prefix="smartlb-smuggling-") as name:
            folder, address = Path(name), free_address()
            await asyncio.to_thread((folder / "nginx.conf").write_text, nginx_config(address, folder, recording))
            arguments = nginx.arguments(folder)
            # `timeout` ends nginx even where nothing is left that would.
            command = ["timeout", "--kill-after=5", f"{longest_s:g}", *program, *arguments]
            with Server(command, folder, None) as server:
                yield await asyncio.to_thread(await_listener, server, lambda: address)


Backend = Callable[[Recorder], AbstractAsyncContextManager[str]]


def backends(longest_s: float = 120.0) -> Mapping[str, Backend]:
    """The backends that are there, by name; those that are processes end after `longest_s` at the latest."""
    found: dict[str, Backend] = {"aiohttp": aiohttp_backend, "h11": h11_backend}
    program = nginx.PEER.find()
    if program is not None:
        found["nginx"] = partial(nginx_backend, program, longest_s)
    return found
