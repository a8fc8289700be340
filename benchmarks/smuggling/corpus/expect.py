"""Expect, and bodies that come without waiting."""

from benchmarks.smuggling.case import BAD, After, Case, Want, lines, refuse, serve

CONTINUE = "RFC 9110 section 10.1.1: the body may come without waiting, and is framed as any"
UNKNOWN = "RFC 9110 section 10.1.1: an expectation that is not known may get 417, another 4xx, or be ignored"
OLD = "RFC 9110 section 10.1.1: 100-continue in an HTTP/1.0 request is ignored"
NAME = "RFC 9112 section 5.1: no whitespace before the colon; 400"

HELLO = serve(Want(b"POST", b"/", b"hello"))


def expecting(*fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A POST of `hello` with these header lines."""
    return lines(b"POST / " + version, b"Host: a.example", b"Content-Length: 5", *fields, b"", b"hello")


def odd(value: bytes) -> Case:
    """A case of an expectation that nobody knows."""
    return Case(f"Expect: {value.decode('latin-1')}", expecting(b"Expect: " + value), UNKNOWN, (
        refuse(400, 417), HELLO,
    ))  # fmt: skip


CASES = [
    Case("100-continue", expecting(b"Expect: 100-continue"), CONTINUE, (HELLO,)),
    Case("100-Continue", expecting(b"Expect: 100-Continue"), CONTINUE, (HELLO,)),
    Case("in chunks", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Expect: 100-continue",
        b"Transfer-Encoding: chunked", b"", b"5\r\nhello\r\n0\r\n\r\n"), CONTINUE, (HELLO,)),
    Case("without a body", lines(b"GET / HTTP/1.1", b"Host: a.example", b"Expect: 100-continue", b"", b""),
        CONTINUE, (serve(Want(b"GET", b"/")),)),
    Case("GET with a body", lines(b"GET / HTTP/1.1", b"Host: a.example", b"Expect: 100-continue", b"Content-Length: 5",
        b"", b"hello"), CONTINUE, (serve(Want(b"GET", b"/", b"hello")),)),
    Case("a request for the body", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Expect: 100-continue",
        b"Content-Length: 28", b"", b"GET /s HTTP/1.1\r\nHost: s\r\n\r\n"), CONTINUE, (
            serve(Want(b"POST", b"/", b"GET /s HTTP/1.1\r\nHost: s\r\n\r\n")),
        )),
    Case("in HTTP/1.0", expecting(b"Expect: 100-continue", version=b"HTTP/1.0"), OLD, (
        serve(Want(b"POST", b"/", b"hello", {b"expect": None}), after=After.CLOSES),
    )),
    Case("twice", expecting(b"Expect: 100-continue", b"Expect: 100-continue"), CONTINUE, (
        refuse(400, 417), HELLO,
    ), may_be_declined=True),
    Case("space before the colon", expecting(b"Expect : 100-continue"), NAME, (BAD,)),
    Case("folded", expecting(b"Expect:", b" 100-continue"),
        "RFC 9112 section 5.2: obs-fold is refused or read as spaces", (BAD, HELLO)),
    odd(b""),
    odd(b"200-ok"),
    odd(b"100-continue, 200-ok"),
    odd(b"100-continue, 100-continue"),
    odd(b"y 100-continue"),
    odd(b"100-continue;q=1"),
    odd(b"100-continue."),
    odd(b'"100-continue"'),
    odd(b"100 continue"),
]  # fmt: skip
