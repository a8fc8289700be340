import gzip
import random
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from smartlb.config.traffic import Compression as Settings
from smartlb.stages.compression import Compression, chosen

DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
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
        b"content-encoding: gzip\r\n"
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


@pytest.mark.parametrize("length", [None, 5_000])
def test_head_says_what_get_would_say(length: int | None) -> None:
    said = (b"Content-Length: %d" % length,) if length is not None else ()
    head, done = applied(JSON, *said, length=0, method=b"HEAD")
    assert not done
    assert head == b"HTTP/1.1 200 X\r\n" + JSON + b"\r\nvary: accept-encoding\r\ncontent-encoding: gzip\r\n"


def test_head_of_a_short_body_is_left_as_it_is() -> None:
    assert b"encoding" not in applied(JSON, b"Content-Length: 100", length=0, method=b"HEAD")[0]


def test_a_304_varies_as_the_response_did_that_the_client_has() -> None:
    head, done = applied(b'ETag: "a"', length=0, status=304)
    assert not done
    assert head == b'HTTP/1.1 304 X\r\nETag: W/"a"\r\nvary: accept-encoding\r\n'
    assert b"vary" not in applied(b"Content-Type: image/png", length=0, status=304)[0]


@pytest.mark.parametrize(("name", "levels"), [("zstd", range(1, 20)), ("br", range(12)), ("gzip", range(1, 10))])
def test_every_level_gives_back_what_it_took(name: str, levels: range) -> None:
    rng = random.Random(7)
    pieces = [bytes(rng.choices(b"abc ", k=rng.randrange(60_000))) for _ in range(4)]
    for level in levels:
        settings = Settings.model_validate({"encodings": [name], f"{name}_level": level})
        encoder = Compression(settings).applied(b"X\r\n%s\r\n" % JSON, 200, -1, b"GET", name.encode())[1]
        assert encoder is not None
        sent = b"".join([*(encoder.feed(piece) for piece in pieces), encoder.end()])
        assert DECODE[name](sent) == b"".join(pieces)


def test_vary_is_a_list_of_names() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nvary: %s\r\ncontent-length: 5000\r\n"
    for vary, said in (
        (b"x-accept-encoding", False),
        (b"accept-encoding-x", False),
        (b"a, Accept-Encoding ,b", True),
        (b"*", True),
    ):
        sent, _ = Compression(Settings()).applied(head % vary, 200, 5000, b"GET", b"gzip")
        assert (b"\r\nvary: accept-encoding" not in sent) is said
