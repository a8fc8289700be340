from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.wire.chunked import BadChunk, ChunkedBody
from tests.wire.oracle import read_response

steady = settings(deadline=None, derandomize=True, max_examples=300)

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def feed(body: ChunkedBody, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """What is forwarded, and what comes after the body's end."""
    out, rest = [], []
    for piece in pieces:
        if body.complete:
            rest.append(piece)
            continue
        forwarded, end = body.feed(piece)
        out.append(forwarded)
        assert body.complete or end == len(piece)
        rest.append(piece[end:])
    return b"".join(out), b"".join(rest)


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@dataclass(frozen=True)
class Coded:
    """A chunked body, what is in it, and the trailers that may be forwarded."""

    coded: bytes
    content: bytes
    trailers: list[tuple[bytes, bytes]]


EXTENSIONS = st.sampled_from((b"",) * 4 + (b";a", b" ; a=b", b'\t;a="x y"', b";", b";\xff=\t"))
ALLOWED_TRAILERS = st.tuples(
    st.sampled_from((b"ETag", b"X-Checksum", b"Server-Timing", b"a")),
    st.sampled_from((b"", b"b", b"\xff, x")),
)
FORBIDDEN_TRAILERS = st.tuples(
    st.sampled_from((b"Content-Length", b"TRANSFER-ENCODING", b"Host", b"x_forwarded_for", b"X-Forwarded-Port")),
    st.sampled_from((b"5", b"chunked")),
)


@st.composite
def coded_bodies(draw: st.DrawFn) -> Coded:
    out, content = [], []
    for chunk in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6)):
        digits = draw(st.sampled_from((b"%x", b"%X", b"%03x", b"%015X"))) % len(chunk)
        out += [digits, draw(EXTENSIONS), b"\r\n", chunk, b"\r\n"]
        content.append(chunk)
    out += [draw(st.sampled_from((b"0", b"000"))), draw(EXTENSIONS), b"\r\n"]
    allowed = draw(st.lists(ALLOWED_TRAILERS, max_size=3))
    for name, value in draw(st.permutations([*allowed, *draw(st.lists(FORBIDDEN_TRAILERS, max_size=2))])):
        out += [name, b": ", value, b"\r\n"]
    out.append(b"\r\n")
    return Coded(b"".join(out), b"".join(content), [(name.lower(), value) for name, value in allowed])


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:stop] for start, stop in pairwise(bounds)]


@steady
@given(coded_bodies(), st.binary(max_size=9), st.lists(st.integers(0, 2000), max_size=12), st.booleans())
def test_any_split_of_any_body(body: Coded, following: bytes, cuts: list[int], in_bytes: bool) -> None:
    data = body.coded + following
    pieces = bytewise(data) if in_bytes else split(data, cuts)
    framed, unframed = ChunkedBody(), ChunkedBody(unframed=True)

    out, rest = feed(framed, pieces)
    assert (framed.complete, framed.received, rest) == (True, len(body.content), following)
    read = read_response(CHUNKED_HEAD + out)
    assert (read.complete, read.content, read.rest) == (True, body.content, b"")
    assert sorted(read.trailers) == sorted(body.trailers)

    assert feed(unframed, pieces) == (body.content, following)
    assert (unframed.complete, unframed.received) == (True, len(body.content))


@steady
@given(coded_bodies(), st.integers(0, 2000))
def test_what_is_forwarded_meanwhile_is_no_whole_body(body: Coded, cut: int) -> None:
    cut %= len(body.coded)
    chunked = ChunkedBody()
    out, end = chunked.feed(body.coded[:cut])
    assert (chunked.complete, end) == (False, cut)
    read = read_response(CHUNKED_HEAD + out)
    assert not read.complete
    assert body.content.startswith(read.content)
    assert len(read.content) == chunked.received


def test_a_body_may_begin_within_the_data() -> None:
    data = b"head 3\r\nabc\r\n0\r\n\r\nrest"
    assert ChunkedBody().feed(data, 5) == (data[5:-4], len(data) - 4)
    later = ChunkedBody()
    assert later.feed(data[:6], 5) == (b"", 6)
    assert later.feed(b"??" + data[6:], 2) == (data[5:-4], 2 + len(data) - 4 - 6)


def test_extensions_are_left_out() -> None:
    data = b"3;a=b\r\nabc\r\n0;c\r\n\r\n"
    assert ChunkedBody().feed(data) == (b"3\r\nabc\r\n0\r\n\r\n", len(data))


@pytest.mark.parametrize(
    "trailer",
    [
        b"Content-Length: 5",
        b"transfer-encoding: chunked",
        b"Host: b",
        b"Authorization: x",
        b"Set-Cookie: a=b",
        b"Trailer: x",
        b"Connection: close",
        b"Keep-Alive: 1",
        b"X-Forwarded-For: 192.0.2.1",
        b"X_Forwarded_For: 192.0.2.1",
        b"X-Forwarded-Port: 1",
        b"X-Request-ID: 1",
        b"Content_Length: 5",
        b"Transfer.Encoding: chunked",
        b"X-Real-IP: 192.0.2.1",
        b"CF_Connecting_IP: 192.0.2.1",
        b"x_client-cert_subject: a",
    ],
)
def test_trailers_that_would_change_the_message_are_left_out(trailer: bytes) -> None:
    out, _ = ChunkedBody().feed(b"0\r\nA: b\r\n" + trailer + b"\r\nc: d\r\n\r\n")
    assert out == b"0\r\nA: b\r\nc: d\r\n\r\n"


BROKEN: dict[str, bytes] = {
    "no size": b"\r\n",
    "size that is no number": b"x\r\n",
    "size with a sign": b"+3\r\nabc\r\n",
    "size below 0": b"-3\r\nabc\r\n",
    "size with 0x": b"0x3\r\nabc\r\n",
    "size with _": b"1_0\r\n",
    "size of 16 digits": b"0000000000000003\r\nabc\r\n",
    "size beyond 64 bits": b"10000000000000003\r\nabc\r\n",
    "space before the size": b" 3\r\nabc\r\n",
    "space after the size": b"3 \r\nabc\r\n",
    "something after the size": b"3 a\r\nabc\r\n",
    "LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "CR after the size": b"3\rabc\r\n0\r\n\r\n",
    "LF in an extension": b"3;a\nb\r\nabc\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n",
    "NUL in an extension": b"3;\0\r\nabc\r\n",
    "long extension": b"3;" + b"a" * 1100 + b"\r\nabc\r\n",
    "endless extension": b"3;" + b"a" * 1100,
    "mostly extensions": (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 17,
    "chunk longer than its size": b"3\r\nabcd\r\n",
    "chunk shorter than its size": b"3\r\nab\r\n0\r\n\r\n",
    "chunk without CRLF": b"3\r\nabc0\r\n\r\n",
    "chunk with LF only": b"3\r\nabc\n0\r\n\r\n",
    "chunk with CR only": b"3\r\nabc\r0\r\n\r\n",
    "chunk with LF CR": b"3\r\nabc\n\r0\r\n\r\n",
    "LF after the last chunk": b"0\n\r\n",
    "trailer without a colon": b"0\r\na\r\n\r\n",
    "trailer without a name": b"0\r\n: a\r\n\r\n",
    "trailer with a space before the colon": b"0\r\na : b\r\n\r\n",
    "folded trailer": b"0\r\na: b\r\n c\r\n\r\n",
    "request for a trailer": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "LF in a trailer": b"0\r\na: b\nc: d\r\n\r\n",
    "CR in a trailer": b"0\r\na: b\rc: d\r\n\r\n",
    "NUL in a trailer": b"0\r\na: \0\r\n\r\n",
    "LF after the trailers": b"0\r\na: b\r\n\n",
    "endless trailer": b"0\r\na: " + b"b" * 8300,
    "endless trailers": b"0\r\n" + b"a: b\r\n" * 2100,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("unframed", [False, True])
def test_broken_bodies(data: bytes, unframed: bool) -> None:
    with pytest.raises(BadChunk):
        ChunkedBody(unframed).feed(data)
    body = ChunkedBody(unframed)
    with pytest.raises(BadChunk):
        feed(body, bytewise(data))
    assert not body.complete


def test_extensions_may_weigh_as_much_as_their_chunks() -> None:
    chunk = b"3e8;" + b"a" * 1000 + b"\r\n" + b"x" * 1000 + b"\r\n"
    body = ChunkedBody(unframed=True)
    assert body.feed(chunk * 50 + b"0\r\n\r\n")[0] == b"x" * 50_000
    assert body.complete


def test_content_goes_on_as_it_comes() -> None:
    # Nothing of a chunk is held back, so that small pieces cost no more than large ones.
    body = ChunkedBody()
    assert body.feed(b"4e20\r\n") == (b"4e20\r\n", 6)
    for _ in range(20_000):
        assert body.feed(b"x") == (b"x", 1)
    assert feed(body, [b"\r", b"\n", b"0", b"\r", b"\n\r", b"\nrest"]) == (b"\r\n0\r\n\r\n", b"rest")
    assert body.received == 20_000


def test_pieces_go_on_without_being_copied() -> None:
    whole = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\nA: b\r\n\r\n"
    assert ChunkedBody().feed(whole)[0] is whole
    for body in (ChunkedBody(), ChunkedBody(unframed=True)):
        body.feed(b"10\r\n")
        piece = b"abcdefgh"
        assert body.feed(piece)[0] is piece
        assert body.feed(b"?" + piece, 1) == (piece, 9)


def test_nothing_more_is_taken_once_complete() -> None:
    body = ChunkedBody()
    body.feed(b"0\r\n\r\n")
    assert body.feed(b"0\r\n\r\n") == (b"", 0)
