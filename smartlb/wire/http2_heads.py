"""HTTP/2 header sections as HTTP/1.1 heads and back, without I/O.

RFC 9113 sections 8.1 to 8.3 say what is malformed, section 10.3 what must not get into HTTP/1.1: h2 is told to leave
these checks to us, as it would end a connection, with all its streams, for one malformed request.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE

Headers = Sequence[tuple[bytes, bytes]]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(rb"/[!\"$-~]*|\*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_STATUS = re.compile(rb"[1-5][0-9][0-9]")

_OF_A_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""RFC 9113 section 8.2.2."""

_NOT_FROM_HTTP1 = _OF_A_CONNECTION | {b"host"}


class Malformed(Exception):
    """A header section that breaks RFC 9113; the message says how."""


class Head(NamedTuple):
    """A message's head as HTTP/1.1.

    Attributes:
        raw: from the first line to the empty line.
        chunked: whether its body is to be sent in chunks.
        length: of the body that follows, where it says so.
    """

    raw: bytes
    chunked: bool
    length: int | None


def request_from_http2(headers: Headers, complete: bool) -> tuple[bytes, Head]:
    """The method and the HTTP/1.1 head of a request.

    Args:
        headers: as they came, pseudo-headers included.
        complete: whether there is no body.

    Raises:
        Malformed: a stream error of type PROTOCOL_ERROR.
    """
    pseudo, lines, length = _taken_apart(headers, {b":method", b":scheme", b":authority", b":path"})
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path")
    if not _METHOD.fullmatch(method):
        raise Malformed(":method is missing, or no method")
    authority = pseudo.get(b":authority")
    hosts = [value for name, value in lines if name == b"host"]
    if len(hosts) > 1 or (hosts and authority is not None and hosts[0].lower() != authority.lower()):
        raise Malformed("host and :authority differ")
    host = authority if authority is not None else hosts[0] if hosts else b""
    if method == b"CONNECT":
        if path is not None or b":scheme" in pseudo or not host:
            raise Malformed("CONNECT has an :authority, and neither :scheme nor :path")
        path = host  # as its target; the router refuses it by name
    elif b":scheme" not in pseudo:
        raise Malformed(":scheme is missing")
    elif path is None or not _PATH.fullmatch(path) or (path == b"*" and method != b"OPTIONS"):
        raise Malformed(":path is missing, or no path that begins with /")
    if complete and length:
        raise Malformed(f"there is no body, and content-length says {length}")
    chunked = not complete and length is None
    out = [b"%s %s HTTP/1.1" % (method, path)]
    if host:
        out.append(b"host: " + host)
    out += [b"%s: %s" % line for line in lines if line[0] != b"host"]
    return method, _head(out, chunked, length)


def response_from_http2(headers: Headers, method: bytes, complete: bool) -> Head:
    """The HTTP/1.1 head of a response to a request with this method.

    Raises:
        Malformed: it breaks RFC 9113.
    """
    pseudo, lines, length = _taken_apart(headers, {b":status"})
    code = pseudo.get(b":status", b"")
    if not _STATUS.fullmatch(code) or code == b"101":
        raise Malformed(":status is missing, or no status of HTTP/2")
    status = int(code)
    out = [b"HTTP/1.1 %s " % code, *(b"%s: %s" % line for line in lines)]
    chunked = False
    if status >= 200:
        # One stream is one exchange: as far as HTTP/1.1 can tell, the connection is not used again.
        out.append(b"connection: close")
        if method == b"HEAD" or status in (204, 304):
            length = None
        elif length is None:
            chunked = not complete
            if complete:
                out.append(b"content-length: 0")
        elif complete and length:
            raise Malformed(f"there is no body, and content-length says {length}")
    return _head(out, chunked, length)


def trailers_from_http2(headers: Headers) -> bytes:
    """The trailer lines of a chunked body, each with its CRLF.

    Raises:
        Malformed: it breaks RFC 9113.
    """
    _, lines, _ = _taken_apart(headers, frozenset())
    return b"".join(b"%s: %s\r\n" % line for line in lines)


def _head(lines: list[bytes], chunked: bool, length: int | None) -> Head:
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return Head(b"\r\n".join(lines) + b"\r\n\r\n", chunked, length)


def _taken_apart(
    headers: Headers, expected: frozenset[bytes] | set[bytes]
) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]], int | None]:
    """The pseudo-headers, the others without `te`, and the content-length."""
    pseudo: dict[bytes, bytes] = {}
    lines: list[tuple[bytes, bytes]] = []
    length: int | None = None
    for name, value in headers:
        if not _VALUE.fullmatch(value) or value != value.strip(b" \t"):
            raise Malformed(f"the value of {_shown(name)} has a character that it must not have")
        if name[:1] == b":":
            if name not in expected or name in pseudo or lines:
                raise Malformed(f"{_shown(name)} is unknown, there twice, or in the wrong place")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name):
            raise Malformed(f"{_shown(name)} is no name of a header in lower case")
        if name in _OF_A_CONNECTION:
            raise Malformed(f"{_shown(name)} has no place in HTTP/2")
        if name == b"te":
            if value.lower() != b"trailers":
                raise Malformed("te may only be trailers")
            continue
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise Malformed("content-length is there twice, or no number")
            length = int(value)
        lines.append((name, value))
    return pseudo, lines, length


def _shown(name: bytes) -> str:
    return ascii(name[:40].decode("latin-1"))


class Outgoing(NamedTuple):
    """A head for HTTP/2.

    Attributes:
        headers: pseudo-headers first.
        length: of the body, `CHUNKED` or `UNTIL_CLOSE`.
    """

    headers: list[tuple[bytes, bytes]]
    length: int


def response_to_http2(raw: bytes, method: bytes) -> tuple[int, Outgoing]:
    """The status and header section of a response that the router would send over HTTP/1.1.

    Args:
        raw: the head, with its empty line; the router has made or checked it.
        method: of the request.
    """
    start, *lines = raw[:-4].split(b"\r\n")
    status = int(start[9:12])
    headers, length = _to_http2([(b":status", b"%d" % status)], lines, UNTIL_CLOSE)
    if status < 200 or status in (204, 304) or method == b"HEAD":
        length = 0
    return status, Outgoing(headers, length)


def request_to_http2(raw: bytes, scheme: bytes) -> tuple[bytes, Outgoing]:
    """The method and header section of a request that the router would send over HTTP/1.1."""
    start, *lines = raw[:-4].split(b"\r\n")
    method, path, _ = start.split(b" ")
    host = next((_value(line) for line in lines if line[:5].lower() == b"host:"), b"")
    pseudo = [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", host)]
    headers, length = _to_http2(pseudo, lines, 0)
    headers.append((b"te", b"trailers"))  # all that the router takes for chunked bodies, it takes here
    return method, Outgoing(headers, length)


def trailers_to_http2(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Trailers without their CRLF as a header section."""
    return _to_http2([], lines, 0)[0]


def _to_http2(
    headers: list[tuple[bytes, bytes]], lines: Iterable[bytes], length: int
) -> tuple[list[tuple[bytes, bytes]], int]:
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            length = CHUNKED
        if name not in _NOT_FROM_HTTP1:
            headers.append((name, value))
    return headers, length


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].strip(b" \t")
