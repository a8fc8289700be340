"""Sizes and numbers beyond what is sensible."""

from benchmarks.smuggling.case import Case, Want, lines, refuse, serve

LONG_TARGET = "RFC 9112 section 3: a target longer than the server parses gets 414; a whole head too large, 431"
LARGE_HEAD = "RFC 6585 section 5: headers that are too large, one or all, may get 431"
LARGE_BODY = "RFC 9110 section 15.5.14: a body larger than the server takes gets 413"
MINIMUM = "RFC 9112 section 3: request lines of at least 8,000 bytes are to be supported"
EMPTY_LINES = "RFC 9112 section 2.2: more empty lines than one may be ignored or refused"


def headed(*fields: bytes, target: bytes = b"/") -> bytes:
    """A GET with these header lines."""
    return lines(b"GET " + target + b" HTTP/1.1", b"Host: a.example", *fields, b"", b"")


LONG = b"/" + b"x" * 7_980
GET = serve(Want(b"GET", b"/"))

CASES = [
    Case("a request line of 8,000 bytes", headed(target=LONG), MINIMUM, (serve(Want(b"GET", LONG)),)),
    Case("a target of 40,000 bytes", headed(target=b"/" + b"x" * 40_000), LONG_TARGET, (refuse(400, 414, 431),)),
    Case("a request line without end", b"GET /" + b"x" * 70_000, LONG_TARGET, (refuse(400, 414, 431),)),
    Case("a method without end", b"A" * 40_000, LARGE_HEAD, (refuse(400, 431, 501),)),
    Case("a header of 40,000 bytes", headed(b"A: " + b"b" * 40_000), LARGE_HEAD, (refuse(400, 431),)),
    Case("a name of 40,000 bytes", headed(b"A" * 40_000 + b": b"), LARGE_HEAD, (refuse(400, 431),)),
    Case("ninety-nine headers", headed(*(b"A%d: b" % at for at in range(98))), LARGE_HEAD, (refuse(431), GET)),
    Case("150 headers", headed(*(b"A%d: b" % at for at in range(150))), LARGE_HEAD, (refuse(400, 431), GET)),
    Case("150 times the same header", headed(*[b"A: b"] * 150), LARGE_HEAD, (refuse(400, 431), GET)),
    Case("5,000 headers", headed(*(b"A%d: b" % at for at in range(5_000))), LARGE_HEAD, (refuse(400, 431),)),
    Case("a length larger than the limit", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Content-Length: 2000000",
        b"", b"hello"), LARGE_BODY, (refuse(413),)),
    Case("chunks larger than the limit", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Transfer-Encoding: chunked",
        b"", b"1e8480", b"x" * 2_000_000, b"0", b"", b""), LARGE_BODY, (refuse(413),)),
    Case("10,000 chunks of one byte", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Transfer-Encoding: chunked", b"",
        *[b"1", b"x"] * 10_000, b"0", b"", b""), "RFC 9112 section 7.1: any number of chunks", (
            refuse(400, 413), serve(Want(b"POST", b"/", b"x" * 10_000)),
        )),
    Case("5,000 empty lines before", b"\r\n" * 5_000 + headed(), EMPTY_LINES, (refuse(400), GET)),
]  # fmt: skip
