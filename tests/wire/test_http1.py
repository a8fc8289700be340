from dataclasses import dataclass, field
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smartlb.core.outcome import Outcome
from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    MalformedResponse,
    Request,
    RequestRefused,
    Response,
    find_head_end,
    header_list,
    header_value,
    read_request,
    read_response,
    without_header,
)
from tests.wire import oracle
from tests.wire.oracle import NEVER_FORWARDED, Read, assert_sound

steady = settings(
    deadline=None, derandomize=True, max_examples=500, suppress_health_check=[HealthCheck.filter_too_much]
)


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: a.example") -> bytes:
    named = [] if host is None else [host]
    return b"\r\n".join([start, *named, *lines, b"", b""])


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""])


def read(raw: bytes, last: Request | None = None) -> Request:
    return read_request(raw, len(raw), last)


def answered(raw: bytes, method: bytes = b"GET") -> Response:
    return read_response(raw, len(raw), method)


REFUSED: dict[str, bytes] = {
    "obsolete folding with a space": request(b"A: b", b" c"),
    "obsolete folding with a tab": request(b"A: b", b"\tc"),
    "folding before the value": request(b"A:", b" c"),
    "folding of the first line": request(b" A: b", host=None),
    "folded Transfer-Encoding": request(b"Transfer-Encoding:", b" chunked"),
    "LF in a value": request(b"A: b\nC: d"),
    "LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "CR in a value": request(b"A: b\rC: d"),
    "two CR before LF": request(b"A: b\r"),
    "CR for a line's end": b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    "NUL in a value": request(b"A: b\0c"),
    "NUL in a name": request(b"A\0: b"),
    "NUL in the target": request(start=b"GET /\0 HTTP/1.1"),
    "control character in a value": request(b"A: \x01"),
    "vertical tab after chunked": request(b"Transfer-Encoding: chunked\x0b"),
    "vertical tab after a length": request(b"Content-Length: 5\x0b"),
    "DEL in a value": request(b"A: \x7f"),
    "space before the colon": request(b"A : b"),
    "tab before the colon": request(b"Content-Length\t: 5"),
    "no colon": request(b"A"),
    "no name": request(b": b"),
    "quote in a name": request(b'A"b: c'),
    "name beyond ASCII": request(b"\xc3\xa9: b"),
    "no Host": request(host=None),
    "no Host beside an absolute target": request(start=b"GET http://a/ HTTP/1.1", host=None),
    "two Hosts": request(b"Host: b.example"),
    "the same Host twice": request(b"host: a.example"),
    "Host with a space": request(host=b"Host: a b"),
    "Host with a path": request(host=b"Host: a/b"),
    "Host with a scheme": request(host=b"Host: http://a"),
    "Host with a user": request(host=b"Host: user@a"),
    "Host with a port that is no number": request(host=b"Host: a:b"),
    "Host with an open bracket": request(host=b"Host: [::1"),
    "Host beyond ASCII": request(host=b"Host: \xc3\xa9"),
    "Host that is bad in HTTP/1.0": request(start=b"GET / HTTP/1.0", host=b"Host: a/b"),
    "Content-Length twice": request(b"Content-Length: 5", b"Content-Length: 5"),
    "Content-Lengths that differ": request(b"Content-Length: 5", b"Content-Length: 6"),
    "Content-Length +5": request(b"Content-Length: +5"),
    "Content-Length -5": request(b"Content-Length: -5"),
    "Content-Length 0x5": request(b"Content-Length: 0x5"),
    "Content-Length 5, 5": request(b"Content-Length: 5, 5"),
    "Content-Length 5 5": request(b"Content-Length: 5 5"),
    "Content-Length 1_0": request(b"Content-Length: 1_0"),
    "Content-Length 5.0": request(b"Content-Length: 5.0"),
    "empty Content-Length": request(b"Content-Length:"),
    "blank Content-Length": request(b"Content-Length: \t "),
    "Content-Length beyond 64 bits": request(b"Content-Length: 18446744073709551616"),
    "Content-Length of 5,000 digits": request(b"Content-Length: " + b"0" * 4999 + b"5"),
    "Transfer-Encoding, then Content-Length": request(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "Content-Length, then Transfer-Encoding": request(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "Content-Length 0 and Transfer-Encoding": request(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "Content-Length and Transfer-Encoding in an upgrade": request(
        b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", b"Transfer-Encoding: chunked"
    ),
    "Content-Length and Transfer-Encoding: identity": request(b"Content-Length: 5", b"Transfer-Encoding: identity"),
    "Transfer-Encoding: gzip": request(b"Transfer-Encoding: gzip"),
    "Transfer-Encoding: identity": request(b"Transfer-Encoding: identity"),
    "Transfer-Encoding: gzip in an upgrade": request(
        b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: gzip"
    ),
    "Transfer-Encoding: gzip, chunked": request(b"Transfer-Encoding: gzip, chunked"),
    "Transfer-Encoding: chunked, identity": request(b"Transfer-Encoding: chunked, identity"),
    "Transfer-Encoding: chunked, chunked": request(b"Transfer-Encoding: chunked, chunked"),
    "Transfer-Encoding: chunked;q=1": request(b"Transfer-Encoding: chunked;q=1"),
    "Transfer-Encoding: xchunked": request(b"Transfer-Encoding: xchunked"),
    'Transfer-Encoding: "chunked"': request(b'Transfer-Encoding: "chunked"'),
    "empty Transfer-Encoding": request(b"Transfer-Encoding:"),
    "Transfer-Encoding twice": request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding: gzip, then chunked": request(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding in HTTP/1.0": request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
    "an unknown expectation": request(b"Expect: 200-ok"),
    "HTTP/0.9": request(start=b"GET /"),
    "HTTP/1.2": request(start=b"GET / HTTP/1.2"),
    "HTTP/1.10": request(start=b"GET / HTTP/1.10"),
    "HTTP/2.0": request(start=b"GET / HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\n",
    "the preface's method": request(start=b"PRI * HTTP/1.1"),
    "http/1.1": request(start=b"GET / http/1.1"),
    "RTSP": request(start=b"DESCRIBE / RTSP/1.0"),
    "a method of RTSP": request(start=b"DESCRIBE / HTTP/1.1"),
    "a method in lower case": request(start=b"get / HTTP/1.1"),
    "a method with a digit": request(start=b"GET2 / HTTP/1.1"),
    "a header for a request line": b"Host: a\r\n\r\n",
    "space in the target": request(start=b"GET /a b HTTP/1.1"),
    "two spaces before the target": request(start=b"GET  / HTTP/1.1"),
    "two spaces after the target": request(start=b"GET /  HTTP/1.1"),
    "space after the version": request(start=b"GET / HTTP/1.1 "),
    "space before the method": request(start=b" GET / HTTP/1.1"),
    "tab after the method": request(start=b"GET\t/ HTTP/1.1"),
    "no target": request(start=b"GET HTTP/1.1"),
    "target beyond ASCII": request(start="GET /é HTTP/1.1".encode()),
    "target with DEL": request(start=b"GET /\x7f HTTP/1.1"),
    "target with a fragment": request(start=b"GET /a#b HTTP/1.1"),
    "absolute target with a fragment": request(start=b"GET http://a/#b HTTP/1.1"),
    "target without a slash": request(start=b"GET a HTTP/1.1"),
    "asterisk of GET": request(start=b"GET * HTTP/1.1"),
    "target in authority-form": request(start=b"GET a.example:80 HTTP/1.1"),
    "absolute target of another scheme": request(start=b"GET ftp://a/ HTTP/1.1"),
    "absolute target without authority": request(start=b"GET http:///a HTTP/1.1"),
    "absolute target with a user": request(start=b"GET http://user@a/ HTTP/1.1"),
    "absolute target with a bad host": request(start=b"GET http://a\\b/ HTTP/1.1"),
    "absolute target with a bad port": request(start=b"GET http://a:b/ HTTP/1.1"),
}

METHODS_REFUSED: dict[str, bytes] = {
    "unknown": request(start=b"FETCH / HTTP/1.1"),
    "too long": request(start=b"GETS / HTTP/1.1"),
    "too short": request(start=b"GE / HTTP/1.1"),
    "CONNECT": request(start=b"CONNECT a.example:443 HTTP/1.1"),
    "CONNECT in HTTP/1.0": request(start=b"CONNECT a.example:443 HTTP/1.0"),
    "CONNECT with a path": request(start=b"CONNECT / HTTP/1.1"),
    "CONNECT with an absolute target": request(start=b"CONNECT http://a/ HTTP/1.1"),
    "CONNECT with a body": request(b"Content-Length: 5", start=b"CONNECT / HTTP/1.1"),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused_as_a_bad_request(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read(raw)
    assert refusal.value.outcome is Outcome.BAD_REQUEST
    assert refusal.value.reason


@pytest.mark.parametrize("raw", METHODS_REFUSED.values(), ids=METHODS_REFUSED.keys())
def test_refused_for_its_method(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read(raw)
    assert refusal.value.outcome is Outcome.METHOD_REFUSED


@dataclass(frozen=True)
class Facts:
    """What is to be read from a request, and of its headers what is to be forwarded."""

    method: bytes = b"GET"
    target: bytes = b"/"
    host: bytes = b"a.example"
    length: int = 0
    keep_alive: bool = True
    http10: bool = False
    claims: dict[bytes, bytes] = field(default_factory=dict)
    forwarded: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"host", b"a.example")])


def with_host(*headers: tuple[bytes, bytes], host: bytes = b"a.example") -> list[tuple[bytes, bytes]]:
    return [(b"host", host), *headers]


ACCEPTED: dict[str, tuple[bytes, Facts]] = {
    "the least": (request(), Facts()),
    "query": (request(start=b"GET /a?b=/../c%20&d HTTP/1.1"), Facts(target=b"/a?b=/../c%20&d")),
    "every character of a target": (
        request(start=b"GET /!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~ HTTP/1.1"),
        Facts(target=b"/!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ),
    "two slashes are a path": (request(start=b"GET //b.example/ HTTP/1.1"), Facts(target=b"//b.example/")),
    "method with a dash": (request(start=b"M-SEARCH / HTTP/1.1"), Facts(method=b"M-SEARCH")),
    "headers as they come": (
        request(b"Accept:*/*", b"X-Empty:", b"x: \xc3\xa9 \t", b"Cookie: a=b; c=d", b"Cookie: e"),
        Facts(
            forwarded=with_host(
                (b"accept", b"*/*"),
                (b"x-empty", b""),
                (b"x", b"\xc3\xa9"),
                (b"cookie", b"a=b; c=d"),
                (b"cookie", b"e"),
            )
        ),
    ),
    "Host with a port, in capitals": (
        request(host=b"HOST:  A.Example:8080\t"),
        Facts(host=b"a.example:8080", forwarded=with_host(host=b"A.Example:8080")),
    ),
    "Host of IPv6": (request(host=b"Host: [::1]:80"), Facts(host=b"[::1]:80", forwarded=with_host(host=b"[::1]:80"))),
    "Content-Length": (
        request(b"Content-Length: 5", start=b"POST / HTTP/1.1"),
        Facts(method=b"POST", length=5, forwarded=with_host((b"content-length", b"5"))),
    ),
    "Content-Length with blanks and zeros": (
        request(b"CONTENT-LENGTH:  005 ", start=b"POST / HTTP/1.1"),
        Facts(method=b"POST", length=5, forwarded=with_host((b"content-length", b"005"))),
    ),
    "Content-Length 0": (request(b"Content-Length: 0"), Facts(forwarded=with_host((b"content-length", b"0")))),
    "chunked": (
        request(b"Transfer-Encoding: chunked", start=b"PUT /x HTTP/1.1"),
        Facts(method=b"PUT", target=b"/x", length=CHUNKED, forwarded=with_host((b"transfer-encoding", b"chunked"))),
    ),
    "chunked in capitals": (
        request(b"transfer-ENCODING:\tChunked ", start=b"PUT / HTTP/1.1"),
        Facts(method=b"PUT", length=CHUNKED, forwarded=with_host((b"transfer-encoding", b"chunked"))),
    ),
    "names that only begin like others": (
        request(b"Content-Length-X: 7", b"XContent-Length: 7", b"Host2: b", b"Tea: x", b"Connection-X: close"),
        Facts(
            forwarded=with_host(
                (b"content-length-x", b"7"),
                (b"xcontent-length", b"7"),
                (b"host2", b"b"),
                (b"tea", b"x"),
                (b"connection-x", b"close"),
            )
        ),
    ),
    "close": (request(b"Connection: close"), Facts(keep_alive=False)),
    "Close": (request(b"connection:Close"), Facts(keep_alive=False)),
    "close among others": (request(b"Connection: keep-alive , close"), Facts(keep_alive=False)),
    "close wins from before": (request(b"Connection: close, keep-alive"), Facts(keep_alive=False)),
    "close wins from an earlier line": (
        request(b"Connection: close", b"Connection: keep-alive"),
        Facts(keep_alive=False),
    ),
    "the same line many times": (request(*[b"Connection: close"] * 5, *[b"TE: x"] * 4), Facts(keep_alive=False)),
    "empty Connection": (request(b"Connection:", b"Connection: ,, ,"), Facts()),
    "nominated headers": (
        request(b"A: 1", b"connection: a, X-B", b"x-b: 2", b"ab: 3", b"a: 4"),
        Facts(forwarded=with_host((b"ab", b"3"))),
    ),
    "many nominated headers": (
        request(b"Connection: " + b",".join(b"n%d" % n for n in range(3000)), b"N2999: x", b"N3000: x"),
        Facts(forwarded=with_host((b"n3000", b"x"))),
    ),
    "nominated framing and host": (
        request(b"Connection: host, content-length, Transfer-Encoding", b"Content-Length: 5"),
        Facts(length=5, forwarded=with_host((b"content-length", b"5"))),
    ),
    "nominated request line": (request(b"Connection: GET / HTTP/1.1"), Facts()),
    "hop by hop": (
        request(b"Keep-Alive: timeout=5", b"TE: trailers", b"Proxy-Connection: close", b"Trailer: x"),
        Facts(forwarded=with_host((b"trailer", b"x"))),
    ),
    "upgrade": (
        request(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        Facts(forwarded=with_host((b"sec-websocket-version", b"13"))),
    ),
    "upgrade to h2c": (
        request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        Facts(),
    ),
    "upgrade with a body": (
        request(b"Upgrade: h2c", b"Connection: upgrade", b"Content-Length: 5", start=b"POST / HTTP/1.1"),
        Facts(method=b"POST", length=5, forwarded=with_host((b"content-length", b"5"))),
    ),
    "expectation": (
        request(b"Expect: 100-Continue", b"Content-Length: 5"),
        Facts(length=5, forwarded=with_host((b"expect", b"100-Continue"), (b"content-length", b"5"))),
    ),
    "expectation in HTTP/1.0": (
        request(b"Expect: 100-continue", b"Content-Length: 5", start=b"POST / HTTP/1.0"),
        Facts(method=b"POST", length=5, http10=True, keep_alive=False, forwarded=with_host((b"content-length", b"5"))),
    ),
    "claims": (
        request(
            b"X-Forwarded-For: 192.0.2.1",
            b"x-forwarded-for:192.0.2.2",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: b",
            b"X-Forwarded-Port: 443",
            b"Forwarded: for=192.0.2.1",
            b"Forwarded: for=192.0.2.2",
            b"X-Request-ID: 7",
        ),
        Facts(
            claims={
                b"x-forwarded-for": b"192.0.2.1, 192.0.2.2",
                b"x-forwarded-proto": b"https",
                b"x-forwarded-host": b"b",
                b"x-forwarded-port": b"443",
                b"forwarded": b"for=192.0.2.1, for=192.0.2.2",
                b"x-request-id": b"7",
            }
        ),
    ),
    "claims with _ are believed of nobody": (
        request(b"X_Forwarded_For: 192.0.2.1", b"X-Forwarded_Proto: https", b"X_Request-ID: 1"),
        Facts(),
    ),
    "what some backends take for framing or hop by hop": (
        request(
            *(b"Content_Length: 5", b"content.length: 5", b"Transfer_Encoding: chunked", b"TRANSFER~ENCODING: x"),
            *(b"Keep_Alive: x", b"proxy_connection: close", b"X_Real_IP: 192.0.2.1", b"x_client_cert_subject: a"),
            *(b"X_Forwarded_Anything-Of_Any*Length: 5", b"My_Header: 1", b"content_type: a", b"content_lengths: 5"),
        ),
        Facts(forwarded=with_host((b"my_header", b"1"), (b"content_type", b"a"), (b"content_lengths", b"5"))),
    ),
    "HTTP/1.0": (request(start=b"GET / HTTP/1.0"), Facts(http10=True, keep_alive=False)),
    "HTTP/1.0 without headers": (
        b"GET / HTTP/1.0\r\n\r\n",
        Facts(host=b"", http10=True, keep_alive=False, forwarded=[(b"host", b"web")]),
    ),
    "HTTP/1.0 that is kept": (
        request(b"Connection: Keep-Alive", start=b"GET / HTTP/1.0"),
        Facts(http10=True, keep_alive=True),
    ),
    "empty Host": (request(host=b"Host:"), Facts(host=b"", forwarded=with_host(host=b""))),
    "absolute target": (
        request(start=b"GET HTTP://B.example:80/c?d HTTP/1.1"),
        Facts(target=b"/c?d", host=b"b.example:80", forwarded=with_host(host=b"B.example:80")),
    ),
    "absolute target without path": (
        request(b"A: b", start=b"GET http://b.example HTTP/1.1"),
        Facts(host=b"b.example", forwarded=with_host((b"a", b"b"), host=b"b.example")),
    ),
    "absolute target with a query only": (
        request(start=b"GET https://b.example?c HTTP/1.1"),
        Facts(target=b"/?c", host=b"b.example", forwarded=with_host(host=b"b.example")),
    ),
    "absolute target in HTTP/1.0 without Host": (
        request(start=b"GET http://b/c HTTP/1.0", host=None),
        Facts(target=b"/c", host=b"b", http10=True, keep_alive=False, forwarded=with_host(host=b"b")),
    ),
    "asterisk": (request(start=b"OPTIONS * HTTP/1.1"), Facts(method=b"OPTIONS", target=b"*")),
    "asterisk, spelled as absolute target": (
        request(start=b"OPTIONS http://b HTTP/1.1"),
        Facts(method=b"OPTIONS", target=b"*", host=b"b", forwarded=with_host(host=b"b")),
    ),
}

ADDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"via", b"x-request-id"}


def forward(request: Request) -> bytes:
    """The head that a client connection sends to a backend."""
    method, target, block = request.method, request.target, request.block
    Peer(("192.0.2.9", 1), TrustedNetworks([])).complete(block, "web")
    return b"%s %s HTTP/1.1%s%s\r\n\r\n" % (method, target, block.outgoing, b"id")


def body_of(length: int) -> bytes:
    return b"3\r\nabc\r\n0\r\n\r\n" if length == CHUNKED else b"x" * length


def assert_read_alike(read: Read, request: Request, rest: bytes) -> None:
    """The next hop ends the request where the router does, and finds one Host and no header of this hop."""
    block = request.block
    assert read.start == (request.method, request.target)
    assert read.complete
    assert read.rest == rest
    assert len(read.content) == (3 if block.length == CHUNKED else block.length)
    names = [name for name, _ in read.headers]
    assert names.count(b"host") == 1
    assert not NEVER_FORWARDED & set(names)
    assert not {b"x_forwarded_for", b"forwarded"} & set(names)
    assert read.values(b"x-forwarded-for") == [b"192.0.2.9"]
    assert read.values(b"x-request-id") == [b"id"]


@pytest.mark.parametrize(("raw", "facts"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(raw: bytes, facts: Facts) -> None:
    accepted = read(raw)
    block = accepted.block
    assert (accepted.method, accepted.target) == (facts.method, facts.target)
    assert block.host == facts.host
    assert block.length == facts.length
    assert block.keep_alive is facts.keep_alive
    assert block.http10 is facts.http10
    assert block.claims == facts.claims
    assert raw.endswith(block.headers)

    head = forward(accepted)
    assert_sound(head)
    following = request(start=b"GET /next HTTP/1.1")
    received = oracle.read_request(head + body_of(block.length) + following)
    assert_read_alike(received, accepted, following)
    passed_on = [(name, value) for name, value in received.headers if name not in ADDED]
    assert sorted(passed_on) == sorted(facts.forwarded)


# Anything: the pieces that requests, and attacks on them, are made of.

START_LINES = st.sampled_from(
    (
        b"GET / HTTP/1.1",
        b"POST /a?b HTTP/1.1",
        b"HEAD / HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"GET http://b.example/c HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"GET /a b HTTP/1.1",
    )
)
HEADER_LINES = st.sampled_from(
    (
        b"Host: a.example",
        b"Host:",
        b"host : b",
        b"Content-Length: 5",
        b"Content-Length: 3",
        b"content-length:0",
        b"Content-Length : 4",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"transfer-encoding:\tCHUNKED",
        b"Transfer-Encoding : chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: host, content-length, transfer-encoding, a",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"TE: trailers",
        b"Keep-Alive: 1",
        b"Expect: 100-continue",
        b"X-Forwarded-For: 1",
        b"X_Forwarded_For: 1",
        b"X-Request-Id: 2",
        b"Via: 1.1 x",
        b"a: b",
        b" folded",
        b"\tTransfer-Encoding: chunked",
        b"\xff: \xfe",
        b"",
    )
)
DAMAGE = st.one_of(
    st.just(b""),
    st.sampled_from((b"\n", b"\r", b"\r\n", b"\r\n ", b"\n\r\n", b"\0", b" ", b"\t", b":", b",")),
    st.binary(min_size=1, max_size=1),
)


@st.composite
def heads(draw: st.DrawFn, starts: st.SearchStrategy[bytes], headers: st.SearchStrategy[bytes], first: bytes) -> bytes:
    """A head, often damaged in one place, that ends at its first empty line as connections see to it."""
    lines = [draw(starts), first, *draw(st.lists(headers, max_size=4))]
    raw = b"\r\n".join(lines)
    at = draw(st.integers(0, len(raw)))
    raw = raw[:at] + draw(DAMAGE) + raw[at:] + b"\r\n\r\n"
    return raw[: raw.index(b"\r\n\r\n") + 4]


@steady
@given(heads(START_LINES, HEADER_LINES, b"Host: a.example"))
@example(request(b"Connection: close\r\nTransfer-Encoding: chunked"))
def test_whatever_is_accepted_is_framed_alike_by_the_next_hop(raw: bytes) -> None:
    try:
        accepted = read(raw)
    except RequestRefused:
        return
    head = forward(accepted)
    assert_sound(head)
    body, following = body_of(accepted.block.length), request(start=b"GET /next HTTP/1.1")
    assert_read_alike(oracle.read_request(head + body + following), accepted, following)
    # And the parser that reads what came ends it in the same place: nothing was smuggled in.
    try:
        came = oracle.read_request(raw + body + following)
    except h11.RemoteProtocolError:
        return
    assert (came.complete, came.rest) == (True, following)


# The block of the request before.


FACTS = ("headers", "raw", "kept", "host", "http10", "keep_alive", "length", "claims", "upgrade", "expects")


def outcome_of(raw: bytes, last: Request | None = None) -> Any:
    """All that reading a request gives, in a form that can be compared."""
    try:
        found = read(raw, last)
    except RequestRefused as refusal:
        return refusal.outcome, refusal.reason
    return found.method, found.target, {name: getattr(found.block, name) for name in FACTS}


FEW_STARTS = st.sampled_from(
    [
        b"%s %s HTTP/1.%d" % (method, target, minor)
        for method in (b"GET", b"PUT", b"OPTIONS", b"CONNECT")
        for target in (b"/", b"/b?c", b"*", b"http://b/", b"/#")
        for minor in (0, 1, 2)
    ]
)
FEW_BLOCKS = st.sampled_from(
    [
        (b"Host: a",),
        (b"Host: a", b"Content-Length: 1"),
        (b"Host: a", b"Connection: close, x"),
        (b"Host: a", b"X-Request-ID: 1"),
        (b"Host: a", b"Transfer-Encoding: chunked"),
        (b"Host: a", b"Host: b"),
        (b"X: y",),
        (),
    ]
)


@steady
@given(FEW_STARTS, FEW_BLOCKS, FEW_STARTS, FEW_BLOCKS, st.booleans())
def test_the_last_block_never_changes_the_result(
    start: bytes, lines: tuple[bytes, ...], next_start: bytes, next_lines: tuple[bytes, ...], same: bool
) -> None:
    try:
        last = read(request(*lines, start=start, host=None))
    except RequestRefused:
        return
    following = request(*(lines if same else next_lines), start=next_start, host=None)
    assert outcome_of(following, last) == outcome_of(following)


def test_the_same_headers_are_read_once() -> None:
    last = read(request(b"A: b"))
    following = request(b"A: b", start=b"GET /c HTTP/1.1")
    again = read_request(following + b"the body", len(following), last)
    assert (again.method, again.target) == (b"GET", b"/c")
    assert again.block is last.block


@pytest.mark.parametrize(
    "following",
    [
        request(b"A: b", start=b"PUT / HTTP/1.1"),
        request(b"A: b", start=b"GET / HTTP/1.0"),
        request(b"A: b", start=b"GET http://b/ HTTP/1.1"),
        request(b"A: c"),
        request(b"a: b"),
    ],
)
def test_other_requests_are_read_anew(following: bytes) -> None:
    last = read(request(b"A: b"))
    assert read(following, last).block is not last.block


def test_the_block_of_an_absolute_target_is_not_used_again() -> None:
    last = read(request(start=b"GET http://b/ HTTP/1.1"))
    assert read(request(), last).block.host == b"a.example"


def test_a_head_ends_with_an_empty_line() -> None:
    raw = request()
    for end in {*range(-1, len(raw) + 3)} - {len(raw)}:
        with pytest.raises(RequestRefused, match="empty line"):
            read_request(raw, end, None)
        with pytest.raises(MalformedResponse, match="empty line"):
            read_response(raw, end, b"GET")


def test_the_end_of_a_head_is_found() -> None:
    raw = b"\r\n" + request() + request()
    end = len(request()) + 2
    assert find_head_end(raw, 0) == find_head_end(raw, 2) == find_head_end(raw, end - 4) == end
    assert find_head_end(raw, end - 3) == len(raw)
    for short in range(end):
        assert find_head_end(raw[:short], 0) == -1
    assert find_head_end(b"", 0) == find_head_end(b"ab", 5) == -1


def test_no_more_headers_are_read_than_allowed() -> None:
    raw = request(*[b"A: b"] * 9)
    assert read_request(raw, len(raw), None, 10).block.length == 0
    with pytest.raises(RequestRefused, match="more than 9 headers") as refusal:
        read_request(raw.replace(b"\r\n\r\n", b"\r\nmalformed\r\n\r\n"), len(raw) + 11, None, 9)
    assert refusal.value.outcome is Outcome.HEADER_TOO_LARGE


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b"A: b\0", r"its value has 0x00: 'A: b\x00'"),
        (b"A: b\nC: d", r"its value has 0x0a: 'A: b\nC: d'"),
        (b"A: b\rc", r"it ends in CR without LF: 'A: b\rc'"),
        (b" A: b", "it begins with a blank; lines must not be folded: ' A: b'"),
        (b"A", "it has no colon: 'A'"),
        (b": b", "it has no name: ': b'"),
        (b"A : b", "0x20 is in its name, or between name and colon: 'A : b'"),
        (b"A\xe9" + b"b" * 99, "0xe9 is in its name, or between name and colon: 'A\\xe9" + "b" * 38 + "'"),
    ],
)
def test_complaints_say_what_is_wrong(line: bytes, wrong: str) -> None:
    reason = f"header line 2 is not NAME: VALUE: {wrong}"
    with pytest.raises(RequestRefused) as refusal:
        read(request(line))
    assert refusal.value.reason == reason
    with pytest.raises(MalformedResponse) as error:
        answered(response(b"Server: x", line))
    assert str(error.value) == reason


def test_values_of_headers_are_found() -> None:
    block = read(request(b"X-Tenant:\t a \t", b"X-Tenants: b", b"x-tenant: c", b"Empty:", b"X-Ten: d")).block
    assert header_value("X-Tenant")(block) == b"a"
    assert header_list("x-tenant")(block) == b"a,c"
    assert header_value("host")(block) == b"a.example"
    assert header_value("x-ten")(block) == header_list("x-ten")(block) == b"d"
    for name in ("empty", "x-te", "a", "get / http/1.1"):
        assert header_value(name)(block) == header_list(name)(block) == b""


def test_one_header_is_taken_out() -> None:
    head = response(b"A: b", b"a:c", b"AA: d", start=b"HTTP/1.1 200 a: b")
    assert without_header(head, b"a") == response(b"AA: d", start=b"HTTP/1.1 200 a: b")
    assert without_header(head, b"http/1.1 200 a") == head


# Responses.

MALFORMED: dict[str, bytes] = {
    "no status line": b"Server: x\r\n\r\n",
    "HTTP/0.9": b"<html>\r\n\r\n",
    "HTTP/2": response(start=b"HTTP/2 200 OK"),
    "HTTP/1.2": response(start=b"HTTP/1.2 200 OK"),
    "lower case": response(start=b"http/1.1 200 OK"),
    "two digits": response(start=b"HTTP/1.1 20 OK"),
    "four digits": response(start=b"HTTP/1.1 2000 OK"),
    "status 099": response(start=b"HTTP/1.1 099 Low"),
    "status 600": response(start=b"HTTP/1.1 600 High"),
    "status +20": response(start=b"HTTP/1.1 +20 OK"),
    "two spaces": response(start=b"HTTP/1.1  200 OK"),
    "tab": response(start=b"HTTP/1.1\t200 OK"),
    "no space after the status": response(start=b"HTTP/1.1 200OK"),
    "control character in the reason": response(start=b"HTTP/1.1 200 \x01"),
    "CR in the reason": response(start=b"HTTP/1.1 200 a\rb"),
    "LF after the status line": b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "LF after a header": response(b"A: b\nC: d"),
    "CR in a value": response(b"A: b\rC: d"),
    "NUL in a value": response(b"A: \0"),
    "obsolete folding": response(b"A: b", b" c"),
    "folding of the first line": response(b" A: b"),
    "space before the colon": response(b"Content-Length : 5"),
    "no colon": response(b"A"),
    "Content-Length twice": response(b"Content-Length: 5", b"Content-Length: 5"),
    "Content-Lengths that differ": response(b"Content-Length: 5", b"Content-Length: 6"),
    "Content-Length -1": response(b"Content-Length: -1"),
    "Content-Length -2": response(b"Content-Length: -2"),
    "Content-Length 5, 5": response(b"Content-Length: 5, 5"),
    "empty Content-Length": response(b"Content-Length:"),
    "Content-Length beyond 64 bits": response(b"Content-Length: 18446744073709551616"),
    "Content-Length of 5,000 digits": response(b"Content-Length: " + b"0" * 4999 + b"5"),
    "Content-Length, then Transfer-Encoding": response(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding, then Content-Length": response(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "Transfer-Encoding: gzip": response(b"Transfer-Encoding: gzip"),
    "Transfer-Encoding: gzip, chunked": response(b"Transfer-Encoding: gzip, chunked"),
    "Transfer-Encoding twice": response(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding in HTTP/1.0": response(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"),
    "an upgrade": response(b"Connection: upgrade", b"Upgrade: h2c", start=b"HTTP/1.1 101 Switching Protocols"),
    "an upgrade without headers": response(start=b"HTTP/1.1 101 Switching Protocols"),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_responses(raw: bytes) -> None:
    with pytest.raises(MalformedResponse) as error:
        answered(raw)
    assert str(error.value)


@dataclass(frozen=True)
class Answer:
    """What is to be read from a response, and of its headers what is to be forwarded."""

    status: int = 200
    length: int = UNTIL_CLOSE
    keep_alive: bool = False
    forwarded: list[tuple[bytes, bytes]] = field(default_factory=list)
    method: bytes = b"GET"


def sized(length: int = 2, keep_alive: bool = True, status: int = 200) -> Answer:
    return Answer(status, length, keep_alive, [(b"content-length", b"%d" % length)])


WELL_FORMED: dict[str, tuple[bytes, Answer]] = {
    "Content-Length": (response(b"Content-Length: 2"), sized()),
    "Content-Length with blanks": (response(b"content-length:\t 2 "), sized()),
    "Content-Length 0": (response(b"Content-Length: 0"), sized(0)),
    "empty reason": (response(b"Content-Length: 2", start=b"HTTP/1.1 404 "), sized(status=404)),
    "no reason": (response(b"Content-Length: 2", start=b"HTTP/1.1 599"), sized(status=599)),
    "reason beyond ASCII": (response(b"Content-Length: 2", start="HTTP/1.1 200 Très\tbien".encode()), sized()),
    "chunked": (
        response(b"Transfer-Encoding: Chunked "),
        Answer(length=CHUNKED, keep_alive=True, forwarded=[(b"transfer-encoding", b"chunked")]),
    ),
    "until close": (response(b"A: b"), Answer(forwarded=[(b"a", b"b")])),
    "until close, against its word": (response(b"Connection: keep-alive"), Answer()),
    "no headers": (response(), Answer()),
    "close": (response(b"Content-Length: 2", b"Connection: close"), sized(keep_alive=False)),
    "close wins": (
        response(b"Connection: close", b"Connection: keep-alive", b"Content-Length: 2"),
        sized(keep_alive=False),
    ),
    "close wins in one line": (
        response(b"Connection: close, keep-alive", b"Content-Length: 2"),
        sized(keep_alive=False),
    ),
    "keep-alive, as most spell it, twice": (
        response(b"Connection: keep-alive", b"Connection: keep-alive", b"Content-Length: 2"),
        sized(),
    ),
    "HTTP/1.0": (response(b"Content-Length: 2", start=b"HTTP/1.0 200 OK"), sized(keep_alive=False)),
    "HTTP/1.0 that is kept": (
        response(b"Connection: Keep-Alive", b"Content-Length: 2", start=b"HTTP/1.0 200 OK"),
        sized(),
    ),
    "HTTP/1.0 until close": (response(b"Connection: keep-alive", start=b"HTTP/1.0 200 OK"), Answer()),
    "hop by hop": (
        response(
            b"Keep-Alive: timeout=5",
            b"Connection: Keep-Alive, X-Hop, content-length",
            b"X-Hop: 1",
            b"Proxy-Connection: close",
            b"TE: x",
            b"Content-Length: 2",
        ),
        sized(),
    ),
    "an offer to upgrade": (
        response(b"Upgrade: h2,h2c", b"Connection: Upgrade, Keep-Alive", b"Content-Length: 2"),
        sized(),
    ),
    "nominated status line": (response(b"Connection: HTTP/1.1 200 OK", b"Content-Length: 2"), sized()),
    "headers as they come": (
        response(b"Set-Cookie: a", b"Set-Cookie: b", b"X:", b"Trailer: y", b"Content-Length: 2"),
        Answer(
            length=2,
            keep_alive=True,
            forwarded=[
                (b"set-cookie", b"a"),
                (b"set-cookie", b"b"),
                (b"x", b""),
                (b"trailer", b"y"),
                (b"content-length", b"2"),
            ],
        ),
    ),
    "HEAD": (
        response(b"Content-Length: 2"),
        Answer(length=0, keep_alive=True, forwarded=[(b"content-length", b"2")], method=b"HEAD"),
    ),
    "HEAD, chunked": (
        response(b"Transfer-Encoding: chunked"),
        Answer(length=0, keep_alive=True, forwarded=[(b"transfer-encoding", b"chunked")], method=b"HEAD"),
    ),
    "HEAD without a length": (response(), Answer(length=0, keep_alive=True, method=b"HEAD")),
    "304": (
        response(b"Content-Length: 2", b"ETag: x", start=b"HTTP/1.1 304 Not Modified"),
        Answer(304, 0, True, [(b"content-length", b"2"), (b"etag", b"x")]),
    ),
    "204": (response(start=b"HTTP/1.1 204 No Content"), Answer(204, 0, True)),
    "204 with a length of 0": (response(b"Content-Length: 0", start=b"HTTP/1.1 204 No Content"), Answer(204, 0, True)),
    "204 that says it has a body": (
        response(b"A: b", b"Content-Length: 2", start=b"HTTP/1.1 204 No Content"),
        Answer(204, 0, False, [(b"a", b"b")]),
    ),
    "204, chunked": (
        response(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 204 No Content"),
        Answer(204, 0, False),
    ),
    "100": (response(start=b"HTTP/1.1 100 Continue"), Answer(100, 0, True)),
    "103": (
        response(b"Link: </a>", b"Connection: x", b"X: y", start=b"HTTP/1.1 103 Early Hints"),
        Answer(103, 0, True, [(b"link", b"</a>")]),
    ),
}


@pytest.mark.parametrize(("raw", "answer"), WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_well_formed_responses(raw: bytes, answer: Answer) -> None:
    response = answered(raw, answer.method)
    status, length = response.status, response.length
    assert (status, length, response.keep_alive) == (answer.status, answer.length, answer.keep_alive)
    assert response.head.startswith(b"HTTP/1.1 ")

    head = response.head + b"\r\n"
    assert_sound(head)
    body = b"until the end" if length == UNTIL_CLOSE else body_of(length)
    received = oracle.read_response(head + body, answer.method, closed=length == UNTIL_CLOSE)
    assert received.start == status
    assert received.headers == answer.forwarded
    assert received.complete
    assert not received.rest
    assert len(received.content) == {UNTIL_CLOSE: len(body), CHUNKED: 3}.get(length, length)


def test_heads_of_responses_are_remembered() -> None:
    raw = response(b"Content-Length: 2", b"X: remembered")
    first = answered(raw)
    assert read_response(raw + b"ab", len(raw), b"GET") is first
    assert answered(raw, b"POST") is first
    to_head = answered(raw, b"HEAD")
    assert (first.length, to_head.length) == (2, 0)
    assert answered(raw, b"HEAD") is to_head
    assert answered(raw.replace(b"2", b"3")).length == 3
    long = response(b"Content-Length: 2", b"X: " + b"a" * 1_000)
    assert answered(long) is not answered(long)


@steady
@given(st.lists(st.tuples(st.integers(0, 2_000), st.sampled_from([b"GET", b"HEAD"])), max_size=200))
def test_what_is_remembered_is_of_the_same_head(asked: list[tuple[int, bytes]]) -> None:
    for length, method in asked:
        found = answered(response(b"Content-Length: %d" % length), method)
        assert found.length == (0 if method == b"HEAD" else length)
        assert found.head.endswith(b"Content-Length: %d\r\n" % length)


RESPONSE_LINES = st.sampled_from(
    (
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"content-length : 3",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: content-length, transfer-encoding, a",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Keep-Alive: 1",
        b"a: b",
        b" folded",
        b"\xff: \xfe",
        b"",
    )
)


STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.%d %d x" % (minor, status)
        for minor in (0, 1)
        for status in (100, 101, 103, 200, 200, 200, 204, 304, 404, 500)
    ]
)


@steady
@given(heads(STATUS_LINES, RESPONSE_LINES, b"Server: x"), st.sampled_from((b"GET", b"HEAD")))
def test_whatever_response_is_forwarded_ends_in_the_same_place_for_the_client(raw: bytes, method: bytes) -> None:
    try:
        response = answered(raw, method)
    except MalformedResponse:
        return
    head, length = response.head + b"\r\n", response.length
    assert_sound(head)
    body = b"until the end" if length == UNTIL_CLOSE else body_of(length)
    received = oracle.read_response(head + body, method, closed=length == UNTIL_CLOSE)
    assert received.start == response.status
    assert received.complete
    assert not received.rest
    assert not NEVER_FORWARDED & {name for name, _ in received.headers}
