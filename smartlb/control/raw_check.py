"""Health checks over a plain connection: whether it can be made, and a GET behind a PROXY header."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smartlb import __version__
from smartlb.config.model import HealthCheck
from smartlb.tls.reason import reason_of

PROXY_LOCAL = {"v1": b"PROXY UNKNOWN\r\n", "v2": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}
"""The PROXY header of a connection that is the router's own; see `smartlb.wire.proxy_protocol`."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?\r?\n")


class CheckFailed(Exception):
    """A check did not pass; the message says why."""


async def connect(address: str, check: HealthCheck, header: bytes = b"") -> None:
    """Connect and close.

    Args:
        address: HOST:PORT of the backend.
        check: its settings.
        header: is sent first.

    Raises:
        CheckFailed: there was no connection in time.
    """
    try:
        async with asyncio.timeout(check.timeout_s):
            _, writer = await _open(address)
    except TimeoutError:
        raise CheckFailed(f"no connection to {address} within {check.timeout_s:g} s") from None
    writer.write(header)
    writer.close()


async def ask(
    address: str,
    check: HealthCheck,
    header: bytes,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> int:
    """Send a GET behind a PROXY header; returns the status of the answer.

    Args:
        address: HOST:PORT of the backend.
        check: its settings.
        header: is sent first.
        tls: for the connection behind the header; None for none.
        server_name: that the backend's certificate must be for, where it is not the address's host.

    Raises:
        CheckFailed: there was no valid answer in time.
    """
    host = check.host or address
    request = (
        f"GET {check.path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: smartlb/{__version__} (health check)\r\n"
        "accept: */*\r\nconnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(check.timeout_s), connection(address, header, tls, server_name) as (reader, writer):
            writer.write(request.encode())
            line = await reader.readline()
    except TimeoutError:
        raise CheckFailed(f"no answer to GET {check.path} within {check.timeout_s:g} s") from None
    except OSError as error:
        raise CheckFailed(f"GET {check.path} failed: {reason_of(error)}") from None
    except ValueError as error:  # a line without an end
        raise CheckFailed(f"GET {check.path} failed: {error}") from None
    if not line:
        raise CheckFailed(f"closed the connection without an answer to GET {check.path}")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise CheckFailed(f"no valid HTTP answer to GET {check.path}: {line[:80]!r}")
    return int(found[1])


@asynccontextmanager
async def connection(
    address: str, header: bytes, tls: ssl.SSLContext | None, server_name: str | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection for one check.

    Args:
        address: HOST:PORT of the backend.
        header: is sent first.
        tls: for the connection behind the header; None for none.
        server_name: that the backend's certificate must be for, where it is not the address's host.

    Raises:
        CheckFailed: the backend refuses, or has no address.
        OSError: the TLS handshake failed.
    """
    reader, writer = await _open(address)
    try:
        writer.write(header)
        if tls is not None:
            await writer.start_tls(tls, server_hostname=server_name or address.rpartition(":")[0].strip("[]"))
        yield reader, writer
    finally:
        writer.transport.abort()


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    try:
        return await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        raise
    except (socket.gaierror, UnicodeError):  # UnicodeError: a host that cannot be a name
        raise CheckFailed(f"the host of {address} cannot be resolved") from None
    except OSError as error:
        # asyncio's own words, "Connect call failed", do not say why.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CheckFailed(f"cannot connect to {address}: {why}") from None
