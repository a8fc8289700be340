# cython: annotation_typing=False
"""HTTP/1.1 heads, without I/O: checked whole by llhttp, then forwarded as they came but for a few headers.

llhttp in its strict mode refuses bare LF, obs-fold, NUL and other control characters, malformed or doubled
Content-Length, and Content-Length beside Transfer-Encoding. What passes is made of lines that end in CRLF, so one
search over the raw head finds the few headers that matter to a proxy, and everything else need not be taken apart.
RFC 9110 (semantics) and RFC 9112 (HTTP/1.1) say what is refused here.
"""

import re
from collections.abc import Callable, Set
from functools import lru_cache
from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from smartlb.core.outcome import Outcome

CHUNKED: Final = -1
"""Body length of a message in chunked transfer coding."""

UNTIL_CLOSE: Final = -2
"""Body length of a response that ends with its connection."""

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
"""Methods that may be sent again (RFC 9110 section 9.2.2)."""

# A fragment (#) has no place in a target: routes and backends could disagree on where the path ends.
_REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!\"$-~]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?\r\n")
_LONGEST_REMEMBERED: Final = 1_024
"""Response heads up to this many bytes are remembered, the last 512 of a worker."""

_SLASH = ord("/")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
# An http URI without a host is invalid (RFC 9110 section 4.2.1).
_ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?:][^/?]*)((?:[/?].*)?)")

# The look-ahead spares most lines the list of names. Many backends take _ in a name for -, so claims are found by
# either spelling.
_REQUEST_HEADERS = re.compile(
    rb"(\r\n(?=[cCeEfFhHkKpPtTuUxX])((?i:"
    rb"connection|content-length|expect|forwarded|host|keep-alive|proxy-connection|te|transfer-encoding|upgrade"
    rb"|x[-_](?:client[-_]cert|forwarded)[-_][^:\r\n]*|x[-_]request[-_]id)):([^\r\n]*))"
)
_RESPONSE_HEADERS = re.compile(
    rb"(\r\n(?=[cCkKpPtTuU])((?i:"
    rb"connection|content-length|keep-alive|proxy-connection|te|transfer-encoding|upgrade)):([^\r\n]*))"
)

# RFC 9110 section 7.8: a name, and a version where there is one.
_PROTOCOL = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")

_KEPT_ALIVE = b"\r\nConnection: keep-alive"
_KEPT_ALIVE_LINE = _KEPT_ALIVE + b"\r\n"
# Not forwarded; an expectation, only where an HTTP/1.0 client has one (RFC 9110 section 10.1.1).
_NOT_FORWARDED = frozenset((b"expect", b"keep-alive", b"proxy-connection", b"te", b"upgrade"))
# What a Connection header cannot take away: its own options, and what frames or routes the message.
_NOT_NOMINATED = frozenset(
    (b"", b"close", b"keep-alive", b"host", b"content-length", b"transfer-encoding", b"content-type", b"via")
)
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class RequestRefused(Exception):
    """A request that gets an answer from the router itself, and never reaches a backend.

    Attributes:
        outcome: the cause.
        reason: what was wrong, for the person who reads the answer.
    """

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class MalformedResponse(Exception):
    """A backend's response that breaks the protocol; the message says how."""


class SwitchedProtocols(MalformedResponse):
    """A 101, which is malformed unless the request asked for it."""


class _NoCallbacks:
    """llhttp only checks; nothing is to be called back."""


_SILENT = _NoCallbacks()


class HeaderBlock:
    """The header section of a request, as the router needs it.

    Attributes:
        headers: as they came, from the request line's CRLF to the empty line.
        raw: the same, or empty where the block holds for one target only.
        kept: the lines to forward, each after a CRLF: without hop-by-hop headers and claims.
        host: of the Host header or the absolute target, lower case, with its port; empty where there was none.
        http10: whether the client speaks HTTP/1.0.
        keep_alive: whether the client wants its connection to stay open.
        length: of the body in bytes, or `CHUNKED`.
        claims: what the client says of itself: forwarded, x-forwarded-*, x-client-cert-* and x-request-id, by
            lower-case name; repeated headers are joined by a comma.
        outgoing: what `Peer.complete` makes of `kept`: all but the request's id.
        request_id: the client's own, where it is trusted.
        upgrade: the one protocol that the client would rather speak, as it spelled it; empty where it wishes for none,
            for several, or may not: in HTTP/1.0 and beside a body.
        expects: whether the client may wait for a 100 before it sends the body.
    """

    def __init__(self, raw: bytes, http10: bool) -> None:
        self.headers = self.raw = self.kept = raw
        self.http10 = http10
        self.keep_alive = not http10
        self.host = b""
        self.length = 0
        self.claims: dict[bytes, bytes] = {}
        self.outgoing = b""
        self.request_id: bytes | None = None
        self.upgrade = b""
        self.expects = False


def parse_request(
    raw: bytes, last_method: bytes = b"", last_block: HeaderBlock | None = None
) -> tuple[bytes, bytes, HeaderBlock]:
    """Check and read a request's head.

    Args:
        raw: from the request line's first byte to the end of the empty line.
        last_method: of the request before on the same connection.
        last_block: of that request. Clients mostly repeat their headers from request to request; a block that is the
            same to the byte is not read again.

    Returns:
        The method, the target in origin-form or ``*``, and the header block.

    Raises:
        RequestRefused: with the cause and what was wrong.
    """
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise RequestRefused(Outcome.BAD_REQUEST, "the request line is not METHOD TARGET HTTP/1.1")
    method, target, minor = line.groups()
    in_origin_form = target[0] == _SLASH
    headers = raw[line.end() - 2 :]
    if (
        last_block is not None
        and headers == last_block.raw
        and method == last_method
        and in_origin_form
        and last_block.http10 == (minor == b"0")
    ):
        return method, target, last_block
    try:
        HttpRequestParser(_SILENT).feed_data(raw)
    except HttpParserUpgrade:
        # A wish to upgrade leaves the request what it is; CONNECT is none.
        if method == b"CONNECT":
            raise RequestRefused(Outcome.METHOD_REFUSED, "CONNECT is for forward proxies; this is a gateway") from None
    except HttpParserInvalidMethodError:
        raise RequestRefused(Outcome.METHOD_REFUSED, "the method is not known") from None
    except HttpParserError as error:
        raise RequestRefused(Outcome.BAD_REQUEST, f"the request is malformed: {error}") from None
    block = _read_block(headers, http10=minor == b"0")
    if not in_origin_form:
        target = _origin_form(method, target, block)
    return method, target, block


def _read_block(raw: bytes, *, http10: bool) -> HeaderBlock:
    block = HeaderBlock(raw, http10)
    kept = raw
    host: bytes | None = None
    connection = upgrade = b""
    for whole, spelled, untrimmed in _REQUEST_HEADERS.findall(raw):
        name = spelled.lower()
        value = untrimmed.strip(b" \t")
        if name == b"host":
            if host is not None:
                raise RequestRefused(Outcome.BAD_REQUEST, "there is more than one Host header")
            host = value
        elif name == b"content-length":
            try:
                block.length = int(value)
            except ValueError:  # thousands of digits, all but the last of them 0
                raise RequestRefused(Outcome.BAD_REQUEST, "the Content-Length has too many digits") from None
            if untrimmed != b" " + value:  # some backends take a tab for a part of the value
                kept = kept.replace(whole + b"\r\n", b"\r\nContent-Length: " + value + b"\r\n")
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or http10:
                raise RequestRefused(Outcome.BAD_REQUEST, "the only transfer coding accepted is chunked, in HTTP/1.1")
            block.length = CHUNKED
            if untrimmed != b" chunked":
                kept = kept.replace(whole + b"\r\n", b"\r\nTransfer-Encoding: chunked\r\n")
        elif name == b"expect" and not http10:
            if value.lower() != b"100-continue":
                raise RequestRefused(Outcome.BAD_REQUEST, "the only expectation known is 100-continue")
            block.expects = True
        else:
            kept = kept.replace(whole + b"\r\n", b"\r\n")
            if name == b"connection":
                connection = connection + b"," + value if connection else value
            elif name == b"upgrade":
                upgrade = upgrade + b"," + value if upgrade else value
            elif name not in _NOT_FORWARDED and b"_" not in name:
                claims = block.claims
                claims[name] = claims[name] + b", " + value if name in claims else value
    if host is None and not http10:
        raise RequestRefused(Outcome.BAD_REQUEST, "the Host header is missing")
    if host and not _HOST.fullmatch(host):
        raise RequestRefused(Outcome.BAD_REQUEST, "the Host header is not HOST or HOST:PORT")
    if connection:
        kept, block.keep_alive = _connection(kept, connection, block.keep_alive)
    if upgrade and not http10 and not block.length and _PROTOCOL.fullmatch(upgrade) and _nominates(connection):
        block.upgrade = upgrade
    block.host = (host or b"").lower()
    block.kept = kept[:-4]
    return block


def _origin_form(method: bytes, target: bytes, block: HeaderBlock) -> bytes:
    """The path of an absolute target, whose authority replaces the Host header (RFC 9112 section 3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise RequestRefused(Outcome.BAD_REQUEST, "the target is not a path that begins with /")
    authority, path = absolute.groups()
    if not _HOST.fullmatch(authority):
        raise RequestRefused(Outcome.BAD_REQUEST, "the target's authority is not HOST or HOST:PORT")
    block.host = authority.lower()
    block.kept = b"\r\nhost: " + authority + without_header(block.kept, b"host")
    block.raw = b""  # made for this target: not to be taken for the next request's
    if not path and method == b"OPTIONS":
        return b"*"  # RFC 9112 section 3.2.4
    return path if path[:1] == b"/" else b"/" + path


def _connection(head: bytes, value: bytes, keep_alive: bool) -> tuple[bytes, bool]:
    """Apply a Connection header: the headers it takes away, and whether the connection stays open."""
    value = value.lower()
    if value == b"keep-alive":
        return head, True
    if value == b"close":
        return head, False
    options = {option.strip(b" \t") for option in value.split(b",")}
    nominated = options - _NOT_NOMINATED
    if nominated:
        head = without_headers(head, nominated)
    # RFC 9112 section 9.3: close wins.
    return head, b"close" not in options and (keep_alive or b"keep-alive" in options)


def _nominates(connection: bytes) -> bool:
    """Whether a Connection header has Upgrade, which is void without it (RFC 9110 section 7.8)."""
    return b"upgrade" in (option.strip(b" \t") for option in connection.lower().split(b","))


def without_header(head: bytes, name: bytes) -> bytes:
    """A head without the lines of one header; `name` is lower case."""
    return without_headers(head, {name})


def without_headers(head: bytes, names: Set[bytes]) -> bytes:
    """A head without the lines of some headers; `names` are lower case."""
    start, *lines = head.split(b"\r\n")
    return b"\r\n".join([start, *(line for line in lines if line.partition(b":")[0].lower() not in names)])


def header_value(name: str) -> Callable[[HeaderBlock], bytes]:
    """A function that finds the value of one header, the first where there are several; empty where there is none."""
    find = _lines_of(name).search

    def value(block: HeaderBlock) -> bytes:
        found = find(block.headers)
        return found[1].rstrip(b" \t") if found else b""

    return value


def header_list(name: str) -> Callable[[HeaderBlock], bytes]:
    """A function that finds the value of a header that is a list, joined where it takes several lines."""
    find_all = _lines_of(name).findall

    def value(block: HeaderBlock) -> bytes:
        return b",".join(find_all(block.headers))

    return value


def _lines_of(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n(?i:%s):[ \t]*+([^\r\n]*+)" % re.escape(name.encode()))


def parse_response(raw: bytes, method: bytes) -> tuple[bytes, int, int, bool]:
    """Check and read a response's head.

    Args:
        raw: from the status line's first byte to the end of the empty line.
        method: of the request; a HEAD's response has no body.

    Returns:
        The head to forward, without hop-by-hop headers and the final empty line, as HTTP/1.1; the status; the length
        of the body in bytes, `CHUNKED` or `UNTIL_CLOSE`; whether the backend's connection can serve another request.

    Raises:
        SwitchedProtocols: it is a 101.
        MalformedResponse: with what was wrong.
    """
    return (_read_again if len(raw) <= _LONGEST_REMEMBERED else _read_response)(raw, method)


def _read_response(raw: bytes, method: bytes) -> tuple[bytes, int, int, bool]:
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise MalformedResponse("the status line is not HTTP/1.1 STATUS REASON")
    status = int(line[2])
    if status == 101:
        raise SwitchedProtocols("the backend switched protocols unasked")
    try:
        HttpResponseParser(_SILENT).feed_data(raw)
    except HttpParserError as error:
        raise MalformedResponse(str(error)) from None

    http10 = line[1] == b"0"
    keep_alive = not http10
    length = UNTIL_CLOSE
    connection = offered = b""
    for whole, spelled, untrimmed in _RESPONSE_HEADERS.findall(raw):
        if whole == _KEPT_ALIVE:
            # So most servers spell it.
            raw = raw.replace(_KEPT_ALIVE_LINE, b"\r\n")
            keep_alive = True
            continue
        name = spelled.lower()
        if name == b"content-length":
            try:
                length = int(untrimmed)
            except ValueError:
                raise MalformedResponse("the Content-Length has too many digits") from None
        elif name == b"transfer-encoding":
            if untrimmed.strip(b" \t").lower() != b"chunked" or http10 or length != UNTIL_CLOSE:
                raise MalformedResponse("the only transfer coding accepted is chunked, in HTTP/1.1")
            length = CHUNKED
        else:
            raw = raw.replace(whole + b"\r\n", b"\r\n")
            if name == b"connection":
                value = untrimmed.strip(b" \t")
                connection = connection + b"," + value if connection else value
            elif name == b"upgrade":
                offered = untrimmed.strip(b" \t")
    if connection:
        raw, keep_alive = _connection(raw, connection, keep_alive)
    if status < 200 or status == 204 or status == 304 or method == b"HEAD":
        if length != UNTIL_CLOSE and (status < 200 or status == 204):
            # RFC 9112 section 6.3: there is no body, whatever the head says; a backend may send one all the same.
            raw = without_headers(raw, _FRAMING)
            keep_alive = keep_alive and length == 0
        length = 0
    if status == 426 and offered:
        # RFC 9110 section 15.5.22: it must say what to upgrade to.
        raw = raw[:-2] + b"upgrade: %s\r\nconnection: upgrade\r\n\r\n" % offered
    head = b"HTTP/1.1" + raw[8:-2] if http10 else raw[:-2]
    return head, status, length, keep_alive and length != UNTIL_CLOSE


# Most heads differ from the ones before in their date and length only, if at all: within a second a backend repeats
# itself often. Knowing a head again takes a tenth of the time of reading it, and finding that it is new adds a tenth.
_read_again = lru_cache(maxsize=512)(_read_response)


class Request:
    """A request's head.

    Attributes:
        method: as it came.
        target: in origin-form, or ``*``.
        block: its headers.
    """

    def __init__(self, method: bytes, target: bytes, block: HeaderBlock) -> None:
        self.method = method
        self.target = target
        self.block = block


class Response:
    """A response's head.

    Attributes:
        head: to forward, without hop-by-hop headers and the final empty line, as HTTP/1.1.
        status: its code.
        length: of the body in bytes, `CHUNKED` or `UNTIL_CLOSE`.
        keep_alive: whether the backend's connection can serve another request.
    """

    def __init__(self, head: bytes, status: int, length: int, keep_alive: bool) -> None:
        self.head = head
        self.status = status
        self.length = length
        self.keep_alive = keep_alive


def find_head_end(data: bytes, start: int) -> int:
    """Where a head ends, after its empty line; -1 where it does not."""
    found = data.find(b"\r\n\r\n", start)
    return found + 4 if found >= 0 else -1


def read_request(data: bytes, end: int, last: Request | None) -> Request:
    """Check and read the head ``data[:end]``."""
    if last is None:
        return Request(*parse_request(data[:end]))
    return Request(*parse_request(data[:end], last.method, last.block))


def read_response(data: bytes, end: int, method: bytes) -> Response:
    """Check and read the head ``data[:end]``."""
    return Response(*parse_response(data[:end], method))
