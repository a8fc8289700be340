import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE, RequestRefused, read_request, read_response
from smartlb.wire.http2_heads import (
    Headers,
    Malformed,
    request_from_http2,
    request_to_http2,
    response_from_http2,
    response_to_http2,
    trailers_from_http2,
)

HEAD: Headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.example"), (b":path", b"/")]


def without(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in HEAD if name not in names]


def test_a_request_as_http1() -> None:
    method, head = request_from_http2([*HEAD, (b"x-a", b"1"), (b"te", b"trailers")], complete=True)
    assert (method, head.chunked) == (b"GET", False)
    assert head.raw == b"GET / HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\n\r\n"
    assert request_from_http2(HEAD, complete=False)[1].chunked
    assert not request_from_http2([*HEAD, (b"content-length", b"7")], complete=False)[1].chunked


def test_host_stands_in_for_a_missing_authority() -> None:
    _, head = request_from_http2([*without(b":authority"), (b"host", b"b.example")], complete=True)
    assert b"\r\nhost: b.example\r\n" in head.raw


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
        request_from_http2(headers if (b"a", b"b") in headers else pseudo_first, complete=True)


BYTES = st.binary(max_size=12)


@given(st.lists(st.tuples(BYTES, BYTES), max_size=4), BYTES, BYTES, BYTES, st.booleans())
def test_whatever_comes_is_one_request_or_malformed(
    headers: Headers, method: bytes, path: bytes, authority: bytes, complete: bool
) -> None:
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", b"/" + path), (b":authority", authority)]
    try:
        _, head = request_from_http2([*pseudo, *headers], complete)
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
    raw = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\nconnection: close\r\n\r\n"
    status, (headers, length) = response_to_http2(raw, b"GET")
    assert (status, length) == (200, 5)
    assert headers == [(b":status", b"200"), (b"x-a", b"1"), (b"content-length", b"5")]
    again = response_from_http2(headers, b"GET", complete=False).raw
    read = read_response(again, len(again), b"GET")
    assert (read.head, read.status) == (again[: again.index(b"connection")], 200)
    assert (read.length, read.keep_alive) == (5, False)
    assert response_to_http2(b"HTTP/1.1 200 OK\r\n\r\n", b"GET")[1].length == UNTIL_CLOSE
    assert response_to_http2(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET")[1].length == CHUNKED
    assert response_to_http2(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b"HEAD")[1].length == 0


@pytest.mark.parametrize(
    "headers",
    [
        [(b"a", b"b")],
        [(b":status", b"20")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"a", b"b\r\nc: d")],
        [(b":status", b"200"), (b":path", b"/")],
    ],
)
def test_malformed_responses(headers: Headers) -> None:
    with pytest.raises(Malformed):
        response_from_http2(headers, b"GET", complete=False)


def test_requests_there_and_back() -> None:
    raw = b"POST /a HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    method, (headers, length) = request_to_http2(raw, b"http")
    assert (method, length) == (b"POST", CHUNKED)
    assert (b"te", b"trailers") in headers
    assert request_from_http2(headers, complete=False)[1].raw.lower() == raw.lower()


def test_trailers() -> None:
    assert trailers_from_http2([(b"grpc-status", b"0")]) == b"grpc-status: 0\r\n"
    with pytest.raises(Malformed):
        trailers_from_http2([(b":path", b"/")])
