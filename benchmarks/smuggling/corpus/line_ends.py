"""The ends of lines in a head, and what comes before the request line."""

from benchmarks.smuggling.case import BAD, Case, Want, lines, refuse, serve

ONE_LF = "RFC 9112 section 2.2: LF alone may be taken for the end of a line, or be refused"
ONE_CR = "RFC 9112 section 2.2: CR alone is invalid, or read as a space that leaves this invalid"
CR_AS_SPACE = "RFC 9112 section 2.2: CR alone is refused or read as a space"
EMPTY_LINE = "RFC 9112 section 2.2: at least one empty line before a request should be ignored"
MORE_EMPTY_LINES = "RFC 9112 section 2.2: more empty lines than one may be ignored or refused"
NUL = "RFC 9110 section 5.5: NUL is refused or replaced by a space"
GARBAGE = "RFC 9112 section 3: this is not a request line; 400, then close"

GET = serve(Want(b"GET", b"/"))
PLAIN = lines(b"GET / HTTP/1.1", b"Host: a.example", b"", b"")

CASES = [
    Case("LF everywhere", b"GET / HTTP/1.1\nHost: a.example\n\n", ONE_LF, (BAD, GET)),
    Case("LF after the request line", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", ONE_LF, (BAD, GET)),
    Case("LF after a header", b"GET / HTTP/1.1\r\nHost: a.example\nA: b\r\n\r\n", ONE_LF, (BAD, GET)),
    Case("LF after the last header", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n", ONE_LF, (BAD, GET)),
    Case("LF for the empty line", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n", ONE_LF, (BAD, GET)),
    Case("LF hides a length", b"POST / HTTP/1.1\r\nHost: a\r\nA: b\nContent-Length: 5\r\n\r\nhello", ONE_LF, (
        BAD, serve(Want(b"POST", b"/", b"hello")),
    )),
    Case("LF LF hides a request", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\n\nGET /s HTTP/1.1\r\nHost: a\r\n\r\n", ONE_LF, (
        BAD, serve(Want(b"GET", b"/"), Want(b"GET", b"/s")),
    )),
    Case("CR everywhere", b"GET / HTTP/1.1\rHost: a.example\r\r", ONE_CR, (BAD,)),
    Case("CR after the request line", b"GET / HTTP/1.1\rHost: a.example\r\n\r\n", ONE_CR, (BAD,)),
    Case("CR in a value", b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b\rC: d\r\n\r\n", CR_AS_SPACE, (
        BAD, serve(Want(b"GET", b"/", fields={b"a": b"b C: d", b"c": None})),
    )),
    Case("CR hides a length", b"POST / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 5\r\n\r\n", CR_AS_SPACE, (
        BAD, serve(Want(b"POST", b"/")),
    )),
    Case("CR hides a Host", b"GET / HTTP/1.1\r\nA: b\rHost: a.example\r\n\r\n", ONE_CR, (BAD,)),
    Case("CR in a name", b"GET / HTTP/1.1\r\nHost: a.example\r\nA\rB: c\r\n\r\n", ONE_CR, (BAD,)),
    Case("CR in the target", b"GET /\rx HTTP/1.1\r\nHost: a.example\r\n\r\n", ONE_CR, (BAD,)),
    Case("CR CR LF after the request line", b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n", CR_AS_SPACE, (BAD, GET)),
    Case("CR CR LF after a header", b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b\r\r\n\r\n", CR_AS_SPACE, (BAD, GET)),
    Case("CR CR LF for the empty line", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n\r\n", ONE_CR, (BAD,)),
    Case("LF CR for CRLF", b"GET / HTTP/1.1\n\rHost: a.example\n\r\n\r", ONE_CR, (BAD,)),
    Case("empty line before", b"\r\n" + PLAIN, EMPTY_LINE, (GET,)),
    Case("five empty lines before", b"\r\n" * 5 + PLAIN, MORE_EMPTY_LINES, (BAD, GET)),
    Case("LF before", b"\n" + PLAIN, ONE_LF, (BAD, GET)),
    Case("CR before", b"\r" + PLAIN, ONE_CR, (BAD,)),
    Case("empty line, then CR, before", b"\r\n\r" + PLAIN, ONE_CR, (BAD,)),
    Case("empty line, then LF, before", b"\r\n\n" + PLAIN, ONE_LF, (BAD, GET)),
    Case("LF CR before", b"\n\r" + PLAIN, ONE_CR, (BAD,)),
    Case("space before", b" " + PLAIN, GARBAGE, (BAD,)),
    Case("NUL before", b"\x00" + PLAIN, GARBAGE, (BAD,)),
    Case("byte order mark before", b"\xef\xbb\xbf" + PLAIN, GARBAGE, (BAD,)),
    Case("a greeting of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", GARBAGE, (BAD,)),
    Case("a line of text", b"hello\r\n\r\n", GARBAGE, (BAD,)),
    Case("a header for a request line", b"Host: a.example\r\n\r\n", GARBAGE, (BAD,)),
    Case("a response for a request", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GARBAGE, (BAD,)),
    Case("NUL in the method", b"GE\x00T / HTTP/1.1\r\nHost: a.example\r\n\r\n", GARBAGE, (BAD,)),
    Case("NUL in the target", b"GET /\x00 HTTP/1.1\r\nHost: a.example\r\n\r\n", GARBAGE, (BAD,)),
    Case("NUL in a name", b"GET / HTTP/1.1\r\nHost: a.example\r\nA\x00: b\r\n\r\n", GARBAGE, (BAD,)),
    Case("NUL in a value", b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b\x00c\r\n\r\n", NUL, (
        BAD, serve(Want(b"GET", b"/", fields={b"a": b"b c"})),
    )),
    Case("NUL after a line's CR", b"GET / HTTP/1.1\r\nHost: a.example\r\x00\n\r\n", ONE_CR, (BAD,)),
    Case("next line of Unicode", "GET / HTTP/1.1\r\nHost: a.example\r\nA: b\u0085C: d\r\n\r\n".encode(),
        "RFC 9110 section 5.5: bytes beyond ASCII are part of the value", (
            BAD, serve(Want(b"GET", b"/", fields={b"a": b"b\xc2\x85C: d", b"c": None})),
        )),
    Case("eighth bits over CRLF", b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b\x8d\x8aC: d\r\n\r\n",
        "RFC 9110 section 5.5: bytes beyond ASCII are part of the value", (
            BAD, serve(Want(b"GET", b"/", fields={b"a": b"b\x8d\x8aC: d", b"c": None})),
        )),
    Case("a head that goes on for ever", b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"A: b\r\n" * 8000,
        "RFC 9112 section 3 and RFC 6585 section 5: a head may have a limit", (refuse(400, 431),)),
]  # fmt: skip
