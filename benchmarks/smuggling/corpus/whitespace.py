"""Whitespace in the request line and around field names."""

from benchmarks.smuggling.case import BAD, Case, Want, lines, serve

LENIENT = (
    "RFC 9112 section 3: a request line may be parsed on whitespace, whose forms are SP, HTAB, VT, FF and bare CR; "
    "otherwise 400"
)
IN_TARGET = "RFC 9112 section 3.2: no whitespace in a target; 400"
COLON = "RFC 9112 section 5.1: no whitespace before the colon; 400"
FIRST = "RFC 9112 section 2.2: a line of whitespace before the first header is refused, or left out with its content"
VALUE = "RFC 9110 section 5.5: whitespace around a value is no part of it"
TOKEN = "RFC 9110 section 5.1: a name is a token; 400"

GET = serve(Want(b"GET", b"/"))


def started(line: bytes) -> bytes:
    """A request with this request line."""
    return lines(line, b"Host: a.example", b"", b"")


def headed(*fields: bytes) -> bytes:
    """A GET with these lines before the empty one."""
    return lines(b"GET / HTTP/1.1", *fields, b"", b"")


CASES = [
    Case("two spaces after the method", started(b"GET  / HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("two spaces before the version", started(b"GET /  HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("tab after the method", started(b"GET\t/ HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("tab before the version", started(b"GET /\tHTTP/1.1"), LENIENT, (BAD, GET)),
    Case("vertical tab after the method", started(b"GET\x0b/ HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("form feed after the method", started(b"GET\x0c/ HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("CR after the method", started(b"GET\r/ HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("no-break space after the method", started(b"GET\xa0/ HTTP/1.1"), LENIENT, (BAD,)),
    Case("space at the end of the line", started(b"GET / HTTP/1.1 "), LENIENT, (BAD, GET)),
    Case("tab at the end of the line", started(b"GET / HTTP/1.1\t"), LENIENT, (BAD, GET)),
    Case("tab at the start of the line", started(b"\tGET / HTTP/1.1"), LENIENT, (BAD, GET)),
    Case("space in the target", started(b"GET /a b HTTP/1.1"), IN_TARGET, (BAD,)),
    Case("tab in the target", started(b"GET /a\tb HTTP/1.1"), IN_TARGET, (BAD,)),
    Case("a version in the target", started(b"GET /a HTTP/1.1 HTTP/1.1"), IN_TARGET, (BAD,)),
    Case("a target of nothing", started(b"GET  HTTP/1.1"), IN_TARGET, (BAD,)),
    Case("space in the version", started(b"GET / HTTP/ 1.1"), IN_TARGET, (BAD,)),
    Case("space before the colon", headed(b"Host: a.example", b"A : b"), COLON, (BAD,)),
    Case("tab before the colon", headed(b"Host: a.example", b"A\t: b"), COLON, (BAD,)),
    Case("space before the colon of Host", headed(b"Host : a.example"), COLON, (BAD,)),
    Case("space before the colon of Content-Length", lines(b"POST / HTTP/1.1", b"Host: a.example",
        b"Content-Length : 5", b"", b"hello"), COLON, (BAD,)),
    Case("no-break space before the colon", headed(b"Host: a.example", b"A\xa0: b"), TOKEN, (BAD,)),
    Case("space in a name", headed(b"Host: a.example", b"A B: c"), TOKEN, (BAD,)),
    Case("space before the first header", headed(b" A: b", b"Host: a.example"), FIRST, (
        BAD, serve(Want(b"GET", b"/", fields={b"a": None})),
    )),
    Case("tab before the first header", headed(b"\tA: b", b"Host: a.example"), FIRST, (
        BAD, serve(Want(b"GET", b"/", fields={b"a": None})),
    )),
    Case("space before the only Host", headed(b" Host: a.example"), FIRST, (BAD,)),
    Case("space before a length that comes first", lines(b"POST / HTTP/1.1", b" Content-Length: 5",
        b"Host: a.example", b"", b""), FIRST, (BAD, serve(Want(b"POST", b"/")))),
    Case("a line of one space", headed(b" ", b"Host: a.example"), FIRST, (BAD, GET)),
    Case("a line of one space at the end", headed(b"Host: a.example", b" "),
        "RFC 9112 section 5.2: obs-fold is refused or read as spaces", (BAD, GET)),
    Case("spaces around a value", headed(b"Host: a.example", b"A: \t b c \t"), VALUE, (
        serve(Want(b"GET", b"/", fields={b"a": b"b c"})),
    )),
    Case("no space before a value", headed(b"Host:a.example", b"A:b"), VALUE, (
        serve(Want(b"GET", b"/", fields={b"a": b"b", b"host": b"a.example"})),
    )),
]  # fmt: skip
