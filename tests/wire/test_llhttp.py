"""Differential tests: the router's own scan of heads takes and refuses what llhttp does in its strict mode.

Beyond llhttp there are rules of the router's own, which stand here once more as regular expressions. ``FUZZ_EXAMPLES``
asks for more than the suite has time for, and for other examples at each run: ``make fuzz``.
"""

import os
import re
from contextlib import suppress
from typing import Any

import httptools
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smartlb.core.outcome import Outcome
from smartlb.wire.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    MalformedResponse,
    RequestRefused,
    SwitchedProtocols,
    find_head_end,
    read_request,
    read_response,
)

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(EXAMPLES or 1_500),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!\"$-~]+) HTTP/1\.([01])\r\n")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?\r\n")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?:][^/?]*)((?:[/?].*)?)")


class Seen:
    """Collects what llhttp calls back with."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


def stricter_than_llhttp(seen: Seen) -> bool:
    """What only the router refuses: lengths that do not fit into its arithmetic."""
    return any(len(value) > 19 or int(value) >= 1 << 63 for value in seen.values(b"content-length"))


def framing_of(seen: Seen, *, http10: bool) -> int | None:
    """The length of the body where a head has one; None where its transfer coding is not accepted."""
    codings = [value.lower() for value in seen.values(b"transfer-encoding")]
    if codings:
        return None if codings != [b"chunked"] or http10 else CHUNKED
    lengths = seen.values(b"content-length")
    return int(lengths[0]) if lengths else UNTIL_CLOSE


def request_by_llhttp(raw: bytes) -> tuple[bytes, int, bool] | Outcome:
    """Method, body length and whether the connection is kept; or why it is refused."""
    line = REQUEST_LINE.match(raw)
    if line is None:
        return Outcome.BAD_REQUEST
    method, target, minor = line.groups()
    seen = Seen()
    parser: Any = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        if method == b"CONNECT":
            return Outcome.METHOD_REFUSED
    except httptools.HttpParserInvalidMethodError:
        return Outcome.METHOD_REFUSED
    except httptools.HttpParserError:
        return Outcome.BAD_REQUEST
    if stricter_than_llhttp(seen):
        return Outcome.BAD_REQUEST
    http10 = minor == b"0"
    length = framing_of(seen, http10=http10)
    hosts = seen.values(b"host")
    absolute = ABSOLUTE_FORM.fullmatch(target)
    sound = (
        length is not None
        and (http10 or all(value.lower() == b"100-continue" for value in seen.values(b"expect")))
        and len(hosts) <= 1
        and (hosts or http10)
        and all(HOST.fullmatch(host) for host in hosts)
        and (
            target.startswith(b"/")
            or (target == b"*" and method == b"OPTIONS")
            or (absolute is not None and HOST.fullmatch(absolute[1]))
        )
    )
    if not sound:
        return Outcome.BAD_REQUEST
    assert length is not None
    return method, max(length, CHUNKED) if length != UNTIL_CLOSE else 0, kept_alive(seen, http10=http10)


def kept_alive(seen: Seen, *, http10: bool) -> bool:
    options = {option.strip(b" \t").lower() for value in seen.values(b"connection") for option in value.split(b",")}
    return b"close" not in options and (not http10 or b"keep-alive" in options)


def response_by_llhttp(raw: bytes) -> tuple[int, int, bool] | type[MalformedResponse]:
    """Status, body length and whether the connection is kept; or why it is malformed."""
    line = STATUS_LINE.match(raw)
    if line is None:
        return MalformedResponse
    status, http10 = int(line[2]), line[1] == b"0"
    if status == 101:
        return SwitchedProtocols
    seen = Seen()
    parser: Any = httptools.HttpResponseParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserError:
        return MalformedResponse
    if stricter_than_llhttp(seen):
        return MalformedResponse
    length = framing_of(seen, http10=http10)
    if length is None:
        return MalformedResponse
    keep_alive = kept_alive(seen, http10=http10)
    if status < 200 or status in (204, 304):
        if status != 304 and length not in (UNTIL_CLOSE, 0):
            keep_alive = False
        length = 0
    return status, length, keep_alive and length != UNTIL_CLOSE


def request_by_router(raw: bytes) -> tuple[bytes, int, bool] | Outcome:
    try:
        found = read_request(raw, len(raw), None)
    except RequestRefused as refusal:
        return refusal.outcome
    return found.method, found.block.length, found.block.keep_alive


def response_by_router(raw: bytes) -> tuple[int, int, bool] | type[MalformedResponse]:
    try:
        found = read_response(raw, len(raw), b"GET")
    except MalformedResponse as error:
        return type(error)
    return found.status, found.length, found.keep_alive


# Valid heads, and what a few changed bytes make of them.

STARTS = st.sampled_from(
    (
        *(
            b"GET / HTTP/1.1",
            b"POST /a?b=c%20 HTTP/1.1",
            b"HEAD /h HTTP/1.0",
            b"OPTIONS * HTTP/1.1",
            b"M-SEARCH / HTTP/1.1",
        ),
        *(b"GET http://b.example:80/c HTTP/1.1", b"OPTIONS https://b HTTP/1.1", b"CONNECT b:443 HTTP/1.1"),
        *(b"GET http://b?c HTTP/1.0", b"PRI * HTTP/1.1", b"DESCRIBE / HTTP/1.1", b"FETCH / HTTP/1.1"),
    )
)
FIELDS = st.sampled_from(
    (
        *(b"Host: a.example", b"host: [::1]:80", b"HOST:", b"A: b", b"Accept: */*;q=0.8, text/html", b"X-Empty:"),
        *(b"Content-Length: 5", b"content-length:\t05 ", b"Content-Length: 18446744073709551615", b"Content-Length:0"),
        *(b"Transfer-Encoding: chunked", b"transfer-encoding:  Chunked ", b"Transfer-Encoding: gzip, chunked"),
        *(b"Connection: close", b"Connection: Keep-Alive", b"connection: a, upgrade", b"Connection: close, keep-alive"),
        *(b"Upgrade: websocket", b"Upgrade: h2c, b", b"TE: trailers", b"Keep-Alive: timeout=5", b"Proxy-Connection: x"),
        *(b"Expect: 100-continue", b"Expect: x", b"Cookie: a=b; c=\xe9", b"content_length: 7", b"X-Forwarded-For: ::1"),
    )
)
STATUSES = st.sampled_from(
    (
        *(b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 404 ", b"HTTP/1.1 599", b"HTTP/1.1 204 No Content"),
        *(b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 304 Not\tModified \xe9"),
    )
)
CHARACTERS = st.sampled_from(
    [bytes((byte,)) for byte in b'\r\n\t :,;-_/#*0159aAzZ"()[]{}\0\x01\x0b\x1f\x7f\x80\xff']
    + [b"\r\n", b"\r\n ", b"\n\r", b"  "]
) | st.binary(min_size=1, max_size=2)


@st.composite
def heads(draw: st.DrawFn, starts: st.SearchStrategy[bytes], lines: tuple[bytes, ...]) -> bytes:
    raw = b"\r\n".join([draw(starts), *lines, *draw(st.lists(FIELDS, max_size=4))]) + b"\r\n\r\n"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw) - 1))
        until = at + draw(st.sampled_from((0, 1, 1, 2)))
        raw = raw[:at] + draw(st.just(b"") | CHARACTERS) + raw[until:]
    raw += b"\r\n\r\n"
    return raw[: raw.index(b"\r\n\r\n") + 4]


@FUZZ
@given(heads(STARTS, (b"Host: a.example",)) | heads(STARTS, ()))
@example(b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\t\r\n\r\n")
def test_requests(raw: bytes) -> None:
    expected, found = request_by_llhttp(raw), request_by_router(raw)
    if isinstance(expected, Outcome):
        assert isinstance(found, Outcome)  # which of two faults is found first does not matter
    else:
        assert found == expected


@FUZZ
@given(heads(STATUSES, (b"Server: x",)))
def test_responses(raw: bytes) -> None:
    assert response_by_router(raw) == response_by_llhttp(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"G%sT / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET%s/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%sb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a%sb/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.%s\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1%s\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a%sb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [1%s1]\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n%sA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA%sB: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA%s: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA:%sb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: 1%s2 34567890\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789%s0123456789\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b%s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %s5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5%s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:%schunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked%s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close%s\r\n\r\n",
    ],
)
def test_every_character_everywhere(head: bytes) -> None:
    for character in range(256):
        raw = head % bytes((character,))
        assert request_by_router(raw) == request_by_llhttp(raw), raw
        raw = b"HTTP/1.1 200 OK" + raw[raw.index(b"\r\n") :]
        assert response_by_router(raw) == response_by_llhttp(raw), raw


@pytest.mark.parametrize("digits", [b"9223372036854775807", b"9223372036854775808", b"0" * 18 + b"5", b"0" * 19 + b"5"])
def test_lengths_that_do_not_fit_are_refused(digits: bytes) -> None:
    head = b"\r\nHost: a\r\nContent-Length: %s\r\n\r\n" % digits
    fits = len(digits) <= 19 and int(digits) < 1 << 63
    assert (request_by_router(b"PUT / HTTP/1.1" + head) is not Outcome.BAD_REQUEST) is fits
    assert (response_by_router(b"HTTP/1.1 200 OK" + head) is not MalformedResponse) is fits


@FUZZ
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\r\n\r\n"]), max_size=12).map(b"".join), st.integers(0, 8)
)
def test_a_head_ends_at_its_first_empty_line(data: bytes, start: int) -> None:
    start = min(start, len(data))
    found = data.find(b"\r\n\r\n", start)
    assert find_head_end(data, start) == (found + 4 if found >= 0 else -1)
    with suppress(RequestRefused):
        read_request(data, max(found, 0), None)
