from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE, RequestRefused, read_request, read_response
from smartlb.wire.http2_heads import (
    Head,
    Malformed,
    request_from_http2,
    request_to_http2,
    response_from_http2,
    response_to_http2,
    trailers_from_http2,
    trailers_to_http2,
)

Headers = Sequence[tuple[bytes, bytes]]

HEAD: Headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.example"), (b":path", b"/")]


def without(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in HEAD if name not in names]


def request_of(headers: Headers, *, complete: bool) -> Head:
    return request_from_http2(tuple(headers), complete)


def test_a_request_as_http1() -> None:
    head = request_of([*HEAD, (b"x-a", b"1"), (b"te", b"trailers")], complete=True)
    assert (head.method, head.chunked, head.length) == (b"GET", False, -1)
    assert head.raw == b"GET / HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\n\r\n"
    assert request_of(HEAD, complete=False).chunked
    head = request_of([*HEAD, (b"content-length", b"7")], complete=False)
    assert (head.chunked, head.length) == (False, 7)


def test_host_stands_in_for_a_missing_authority() -> None:
    head = request_of([*without(b":authority"), (b"x-a", b"1"), (b"host", b"b.example")], complete=True)
    assert head.raw == b"GET / HTTP/1.1\r\nhost: b.example\r\nx-a: 1\r\n\r\n"
    assert request_of([*HEAD, (b"host", b"A.example")], complete=True).raw.count(b"host") == 1


def test_cookies_in_pieces_are_one() -> None:
    pieces = [(b"cookie", b"a=1"), (b"x-a", b"1"), (b"cookie", b"b=2"), (b"cookie", b"")]
    raw = request_of([*HEAD, *pieces], complete=True).raw
    assert raw == b"GET / HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\ncookie: a=1; b=2\r\n\r\n"


MALFORMED: dict[str, Headers] = {
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "an empty path": [*without(b":path"), (b":path", b"")],
    "a path without a slash": [*without(b":path"), (b":path", b"a")],
    "an absolute path": [*without(b":path"), (b":path", b"http://b.example/")],
    "a star for GET": [*without(b":path"), (b":path", b"*")],
    "a space in the path": [*without(b":path"), (b":path", b"/ HTTP/1.1")],
    "a line end in the path": [*without(b":path"), (b":path", b"/ HTTP/1.1\r\nx: y")],
    "a fragment": [*without(b":path"), (b":path", b"/a#b")],
    "a space in the method": [*without(b":method"), (b":method", b"GET /")],
    "a line end in the method": [*without(b":method"), (b":method", b"GET / HTTP/1.1\r\nhost: b")],
    "a line end in the authority": [*without(b":authority"), (b":authority", b"a\r\nx: y")],
    "twice a path": [*HEAD, (b":path", b"/")],
    "a pseudo-header after others": [*without(b":path"), (b"a", b"b"), (b":path", b"/")],
    "an unknown pseudo-header": [*HEAD, (b":protocol", b"websocket")],
    "a status": [*HEAD, (b":status", b"200")],
    "another host": [*HEAD, (b"host", b"b.example")],
    "two hosts": [*without(b":authority"), (b"host", b"a"), (b"host", b"a")],
    "connection": [*HEAD, (b"connection", b"close")],
    "keep-alive": [*HEAD, (b"keep-alive", b"1")],
    "proxy-connection": [*HEAD, (b"proxy-connection", b"close")],
    "transfer-encoding": [*HEAD, (b"transfer-encoding", b"chunked")],
    "upgrade": [*HEAD, (b"upgrade", b"h2c")],
    "te other than trailers": [*HEAD, (b"te", b"gzip")],
    "a capital letter": [*HEAD, (b"X-A", b"1")],
    "an empty name": [*HEAD, (b"", b"1")],
    "a colon in a name": [*HEAD, (b"a:b", b"1")],
    "a space in a name": [*HEAD, (b"a b", b"1")],
    "a line end in a name": [*HEAD, (b"a: b\r\nc", b"1")],
    "a NUL in a name": [*HEAD, (b"a\0", b"1")],
    "CR LF in a value": [*HEAD, (b"a", b"b\r\nc: d")],
    "LF in a value": [*HEAD, (b"a", b"b\nc: d")],
    "CR in a value": [*HEAD, (b"a", b"b\rc: d")],
    "NUL in a value": [*HEAD, (b"a", b"b\0c")],
    "a value that begins with a space": [*HEAD, (b"a", b" b")],
    "a value that ends with a tab": [*HEAD, (b"a", b"b\t")],
    "two lengths": [*HEAD, (b"content-length", b"0"), (b"content-length", b"0")],
    "a length with a sign": [*HEAD, (b"content-length", b"+0")],
    "a length without a body": [*HEAD, (b"content-length", b"5")],
    "CONNECT with a path": [*without(b":method"), (b":method", b"CONNECT")],
}


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests(headers: Headers) -> None:
    pseudo_first = sorted(headers, key=lambda line: line[0][:1] != b":") if headers[-1][0] != b":path" else headers
    with pytest.raises(Malformed):
        request_of(headers if (b"a", b"b") in headers else pseudo_first, complete=True)


BYTES = st.binary(max_size=12)


@given(st.lists(st.tuples(BYTES, BYTES), max_size=4), BYTES, BYTES, BYTES, st.booleans())
def test_whatever_comes_is_one_request_or_malformed(
    headers: Headers, method: bytes, path: bytes, authority: bytes, complete: bool
) -> None:
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", b"/" + path), (b":authority", authority)]
    try:
        head = request_of([*pseudo, *headers], complete=complete)
    except Malformed:
        return
    assert head.raw.index(b"\r\n\r\n") == len(head.raw) - 4
    lines = head.raw[:-4].split(b"\r\n")
    assert len(lines) <= 2 + len(headers) + head.chunked
    try:
        found = read_request(head.raw, len(head.raw), None)
    except RequestRefused:
        return
    assert (found.method, found.target) == (method, b"/" + path)
    assert (found.block.length == CHUNKED) == head.chunked


def test_responses_there_and_back() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-A:\t1 \r\nContent-Length: 5\r\nconnection: close\r\n\r\n"
    outgoing = response_to_http2(raw, b"GET")
    assert (outgoing.status, outgoing.length) == (200, 5)
    assert outgoing.headers == [(b":status", b"200"), (b"x-a", b"1"), (b"content-length", b"5")]
    again = response_from_http2(tuple(outgoing.headers), b"GET", False).raw
    read = read_response(again, len(again), b"GET")
    assert (read.head, read.status) == (again[: again.index(b"connection")], 200)
    assert (read.length, read.keep_alive) == (5, False)
    assert response_to_http2(b"HTTP/1.1 200 OK\r\n\r\n", b"GET").length == UNTIL_CLOSE
    assert response_to_http2(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET").length == CHUNKED
    assert response_to_http2(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b"HEAD").length == 0


@pytest.mark.parametrize(
    "headers",
    [
        [(b"a", b"b")],
        [(b":status", b"20")],
        [(b":status", b"101")],
        [(b":status", b"600")],
        [(b":status", b"2\xb20")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"a", b"b\r\nc: d")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"content-length", b"1" * 19)],
    ],
)
def test_malformed_responses(headers: Headers) -> None:
    with pytest.raises(Malformed):
        response_from_http2(tuple(headers), b"GET", False)


def test_requests_there_and_back() -> None:
    raw = b"POST /a HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    outgoing = request_to_http2(raw, b"http")
    assert (outgoing.method, outgoing.length) == (b"POST", CHUNKED)
    assert (b"te", b"trailers") in outgoing.headers
    assert request_of(outgoing.headers, complete=False).raw.lower() == raw.lower()
    assert request_to_http2(b"GET / HTTP/1.1\r\n\r\n", b"http").length == 0


NAMES = st.from_regex(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,10}", fullmatch=True)
VALUES = st.binary(max_size=12).map(
    lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127).strip(b" ")
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_what_is_well_formed_comes_back_as_it_went(headers: Headers) -> None:
    sent = [(b":status", b"200"), *headers]
    try:
        raw = response_from_http2(tuple(sent), b"GET", False).raw
    except Malformed:
        return
    framing = {b"connection", b"te", b"host", b"content-length"}
    expected = [header for header in sent if header[0] not in framing]
    assert [header for header in response_to_http2(raw, b"GET").headers if header[0] not in framing] == expected


def test_trailers() -> None:
    assert trailers_from_http2(((b"grpc-status", b"0"),)) == b"grpc-status: 0\r\n"
    with pytest.raises(Malformed):
        trailers_from_http2(((b":path", b"/"),))
    assert trailers_to_http2([b"Grpc-Status: 0", b"x-a:"]) == [(b"grpc-status", b"0"), (b"x-a", b"")]
