import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.config.traffic import Compression as Settings
from smartlb.proxy.compression import Compression, chosen

ALL = [b"zstd", b"br", b"gzip"]


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (b"", None),
        (b"gzip", b"gzip"),
        (b"gzip, deflate, br", b"br"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"GZIP", b"gzip"),
        (b"gzip;q=1.0, br;q=0.5", b"gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000", None),
        (b"*", b"zstd"),
        (b"*;q=0", None),
        (b"zstd;q=0, *", b"br"),
        (b"identity", None),
        (b"identity;q=1, gzip;q=0.5", None),
        (b"identity;q=0.5, gzip;q=0.8", b"gzip"),
        (b"identity;q=0", None),
        (b"x-gzip", None),
        (b"deflate", None),
        (b"gzip; q=nonsense", None),
        (b", ,gzip ,", b"gzip"),
    ],
)
def test_the_encoding_that_the_client_likes_best(accepted: bytes, expected: bytes | None) -> None:
    assert chosen(accepted, ALL) == expected


@given(st.binary(max_size=60))
def test_whatever_a_client_accepts_is_read(accepted: bytes) -> None:
    assert chosen(accepted, ALL) in (None, *ALL)


def applied(*headers: bytes, status: int = 200, length: int = 5_000, method: bytes = b"GET") -> tuple[bytes, bool]:
    raw = b"HTTP/1.1 %d X\r\n" % status + b"".join(header + b"\r\n" for header in headers)
    head, encoder = Compression(Settings()).applied(raw, status, length, method, b"gzip")
    return head, encoder is not None


JSON = b"Content-Type: application/json; charset=utf-8"


def test_a_head_says_what_was_done() -> None:
    head, done = applied(
        JSON, b"Content-Length: 5000", b'ETag: "a"', b"Accept-Ranges: bytes", b"Repr-Digest: sha-256=:a:"
    )
    assert done
    assert head == (
        b'HTTP/1.1 200 X\r\nContent-Type: application/json; charset=utf-8\r\nETag: W/"a"\r\nvary: accept-encoding\r\n'
        b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n"
    )


def test_vary_is_said_where_it_could_have_been_done() -> None:
    raw = b"HTTP/1.1 200 X\r\n%s\r\n" % JSON
    head, encoder = Compression(Settings()).applied(raw, 200, 5_000, b"GET", b"")
    assert (head, encoder) == (raw + b"vary: accept-encoding\r\n", None)
    assert applied(JSON, b"Vary: Origin, Accept-Encoding")[0].lower().count(b"vary") == 1


@pytest.mark.parametrize(
    "case",
    [
        applied(b"Content-Type: image/png"),
        applied(b"X-Content-Type: text/plain"),
        applied(),
        applied(JSON, length=100),
        applied(JSON, b"Content-Encoding: br"),
        applied(JSON, b"Cache-Control: public, no-transform"),
        applied(JSON, b"Content-Range: bytes 0-1/5"),
        applied(JSON, status=206),
        applied(JSON, status=304),
        applied(JSON, status=204),
    ],
)
def test_what_is_left_as_it_is(case: tuple[bytes, bool]) -> None:
    head, done = case
    assert not done
    assert b"vary" not in head


@pytest.mark.parametrize("kind", [b"text/html", b"TEXT/PLAIN;charset=utf-8", b"image/svg+xml", b"text/event-stream"])
def test_types_that_are_compressed(kind: bytes) -> None:
    assert applied(b"content-type: " + kind)[1]


def test_a_body_of_unknown_length_is_long_enough() -> None:
    assert applied(JSON, length=-1)[1]
    assert not applied(JSON, method=b"HEAD")[1]
