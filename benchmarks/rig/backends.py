"""The two backends behind the proxies: nginx with one worker each, a server in Python where it is missing."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import httptools
import uvloop

from benchmarks.peers.peer import on_path
from benchmarks.rig.processes import Server, free_address
from benchmarks.rig.reachable import await_listener
from benchmarks.rig.shapes import BODIES

COUNT = 2
_LONGEST_S = 21_600.0
"""After which one in Python ends by itself, whatever became of the benchmark."""

_SMALL_ENOUGH_TO_INLINE = 1_000


def nginx_config(folder: Path, address: str) -> str:
    """Return the configuration of an nginx that answers `BODIES`, the large ones from files in `folder`."""
    user = "user root;" if os.geteuid() == 0 else ""
    inline = "\n".join(
        f'    location = {path} {{ return 200 "{body.decode("ascii")}"; }}'
        for path, body in BODIES.items()
        if len(body) < _SMALL_ENOUGH_TO_INLINE
    )
    return f"""\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  open_file_cache_valid 1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address} backlog=4096;
    root {folder};
{inline}
  }}
}}
"""


class _Answer(asyncio.Protocol):
    """Answers the requests of one connection with the body of their path."""

    def __init__(self, responses: dict[bytes, bytes]) -> None:
        self._responses = responses
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one.

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        response = self._responses.get(self._url)
        self._transport.write(response or b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


async def _answer(address: str) -> None:
    responses = {
        path.encode("ascii"): b"HTTP/1.1 200 OK\r\nServer: benchmark\r\nContent-Type: text/plain\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        for path, body in BODIES.items()
    }
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answer(responses), host, int(port), backlog=4096)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_S):
            await server.serve_forever()


def kind() -> str:
    """Say which backends `backends` starts."""
    if on_path("nginx"):
        return "nginx with one worker each"
    return "Python (uvloop), as nginx is not installed; they may limit the fastest proxies"


def _start(folder: Path, address: str, core: int | None) -> Server:
    nginx = on_path("nginx")
    if not nginx:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-m", "benchmarks.rig.backends", address]
        return Server(command, folder, core, {"PYTHONPATH": str(root)})
    for path, body in BODIES.items():
        Path(folder, path[1:]).write_bytes(body)
    config = folder / "nginx.conf"
    config.write_text(nginx_config(folder, address))
    return Server([str(nginx), "-p", str(folder), "-e", "stderr", "-c", str(config)], folder, core)


@contextlib.contextmanager
def backends(core: int | None) -> Iterator[list[str]]:
    """Run the backends on `core`; gives their addresses.

    Raises:
        BenchmarkError: one of them does not start.
    """
    with contextlib.ExitStack() as stack:
        addresses = []
        for _ in range(COUNT):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="smartlb-backend-")))
            address = free_address()
            server = stack.enter_context(_start(folder, address, core))
            await_listener(server, partial(str, address))
            addresses.append(address)
        yield addresses


def main() -> None:
    """Serve the benchmark's bodies in Python until SIGTERM, or for six hours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig.backends", description=main.__doc__)
    parser.add_argument("address", help="HOST:PORT")
    uvloop.run(_answer(parser.parse_args().address))


if __name__ == "__main__":
    main()
