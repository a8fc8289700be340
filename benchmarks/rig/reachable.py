"""Whether a server is there, and whether it answers as it should."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable

from benchmarks.rig.processes import BenchmarkError, Server
from benchmarks.rig.shapes import Shape

STARTS_S = 20.0
_ANSWER_S = 5.0
_ROUTES_S = 5.0


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


def await_listener(server: Server, address: Callable[[], str | None], within_s: float = STARTS_S) -> str:
    """Wait until `server` takes connections; returns its address.

    Args:
        server: ends the wait if it ends.
        address: where it listens, None while that is not known.
        within_s: how long it may take.

    Raises:
        BenchmarkError: the server has ended, or takes no connections in time.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = address()
        if found and _accepts(found):
            return found
        if not server.running:
            raise BenchmarkError(f"ended while it started, after saying: {server.last_words or 'nothing'}")
        time.sleep(0.05)
    raise BenchmarkError(f"took no connections within {within_s:g} s; it said: {server.last_words or 'nothing'}")


def check_response(address: str, shape: Shape) -> None:
    """Send a request of `shape`; its response must be a 200 with exactly the expected body.

    A proxy may listen before its routes are loaded, so other statuses have a few seconds to become a 200.

    Raises:
        BenchmarkError: it is not.
    """
    until = time.monotonic() + _ROUTES_S
    status, body = _ask(address, shape)
    while status != 200 and time.monotonic() < until:
        time.sleep(0.1)
        status, body = _ask(address, shape)
    if status != 200:
        raise BenchmarkError(f"answered {shape.method} {shape.path} with {status} {body[:200]!r}, not 200")
    if body != shape.expected:
        raise BenchmarkError(
            f"answered {shape.method} {shape.path} with another body than its backends': "
            f"{len(body)} bytes, expected {len(shape.expected)}"
        )


def _ask(address: str, shape: Shape) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_ANSWER_S)
    if shape.tls:
        # That there is TLS is looked at here, not whose; load generators do not look either.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, int(port), timeout=_ANSWER_S, context=context)
    try:
        connection.request(shape.method, shape.path, body=shape.body or None, headers=shape.headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
        raise BenchmarkError(f"answered {shape.method} {shape.path} with {problem}") from None
    finally:
        connection.close()
