"""Several requests in a row, with one among them that changes what the rest is."""

from benchmarks.smuggling.case import After, Case, Refuse, Want, lines, serve

IN_ORDER = "RFC 9112 section 9.3.2: pipelined requests are answered in order"
REFUSED = "RFC 9112 section 9.3.2: the requests before a bad one are answered, those after it are not"
CLOSED = "RFC 9112 section 9.6: no request after one that closes is served"
EMPTY_LINE = "RFC 9112 section 2.2: an empty line before a request should be ignored"


def get(target: bytes, *fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A GET."""
    return lines(b"GET " + target + b" " + version, b"Host: a.example", *fields, b"", b"")


def post(target: bytes, body: bytes, method: bytes = b"POST") -> bytes:
    """A request with a body of known length."""
    return lines(
        method + b" " + target + b" HTTP/1.1", b"Host: a.example", b"Content-Length: %d" % len(body), b"", body
    )


def chunked(target: bytes, body: bytes) -> bytes:
    """A POST with this chunked body, as it is."""
    return lines(b"POST " + target + b" HTTP/1.1", b"Host: a.example", b"Transfer-Encoding: chunked", b"", body)


A, B, C = Want(b"GET", b"/a"), Want(b"GET", b"/b"), Want(b"GET", b"/c")
BAD_AFTER_A = Refuse(frozenset({400}), (A,))
ENDS = b"5\r\nhello\r\n0\r\n\r\n"

CASES = [
    Case("two", get(b"/a") + get(b"/b"), IN_ORDER, (serve(A, B),)),
    Case("ten", get(b"/a") * 10, IN_ORDER, (serve(*[A] * 10),)),
    Case("an empty line between", get(b"/a") + b"\r\n" + get(b"/b"), EMPTY_LINE, (serve(A, B),)),
    Case("a body, then a request", post(b"/p", b"hello") + get(b"/a"), IN_ORDER, (
        serve(Want(b"POST", b"/p", b"hello"), A),
    )),
    Case("chunks, then a request", chunked(b"/p", ENDS) + get(b"/a"), IN_ORDER, (
        serve(Want(b"POST", b"/p", b"hello"), A),
    )),
    Case("chunks with a trailer, then a request", chunked(b"/p", b"0\r\nA: b\r\n\r\n") + get(b"/a"), IN_ORDER, (
        serve(Want(b"POST", b"/p"), A),
    )),
    Case("two bodies of one length", post(b"/p", b"hello") + post(b"/q", b"olleh"), IN_ORDER, (
        serve(Want(b"POST", b"/p", b"hello"), Want(b"POST", b"/q", b"olleh")),
    )),
    Case("two bodies of different lengths", post(b"/p", b"hello") + post(b"/q", b""), IN_ORDER, (
        serve(Want(b"POST", b"/p", b"hello"), Want(b"POST", b"/q")),
    )),
    Case("a length of 0, then a request", post(b"/p", b"") + get(b"/a"), IN_ORDER, (serve(Want(b"POST", b"/p"), A),)),
    Case("HEAD, then GET", lines(b"HEAD /a HTTP/1.1", b"Host: a.example", b"", b"") + get(b"/b"), IN_ORDER, (
        serve(Want(b"HEAD", b"/a"), B),
    )),
    Case("HEAD with a body, then GET with one", post(b"/p", b"hello", b"HEAD") + post(b"/q", b"olleh", b"GET"),
        IN_ORDER, (serve(Want(b"HEAD", b"/p", b"hello"), Want(b"GET", b"/q", b"olleh")),)),
    Case("absolute, then a path", get(b"http://b.example/a") + get(b"/b"), IN_ORDER, (
        serve(
            Want(b"GET", b"/a", fields={b"host": b"b.example"}), Want(b"GET", b"/b", fields={b"host": b"a.example"})
        ),
    )),
    Case("a path, then absolute, then a path", get(b"/a") + get(b"http://b.example/b") + get(b"/c"), IN_ORDER, (
        serve(
            Want(b"GET", b"/a", fields={b"host": b"a.example"}),
            Want(b"GET", b"/b", fields={b"host": b"b.example"}),
            Want(b"GET", b"/c", fields={b"host": b"a.example"}),
        ),
    )),
    Case("a path, then CONNECT with the same headers", get(b"/a") + get(b"/a").replace(b"GET", b"CONNECT"), REFUSED, (
        Refuse(frozenset({400, 405, 501}), (A,)),
    )),
    Case("close, then another", get(b"/a", b"Connection: close") + get(b"/b"), CLOSED, (serve(A, after=After.CLOSES),)),
    Case("HTTP/1.0, then another", get(b"/a", version=b"HTTP/1.0") + get(b"/b"), CLOSED, (
        serve(A, after=After.CLOSES),
    )),
    Case("HTTP/1.1, then HTTP/1.0 with the same headers", get(b"/a") + get(b"/b", version=b"HTTP/1.0") + get(b"/c"),
        CLOSED, (serve(A, B, after=After.CLOSES),)),
    Case("HTTP/1.1, then HTTP/1.0 with chunks", chunked(b"/p", ENDS) + chunked(b"/q", ENDS).replace(b"1.1", b"1.0"),
        "RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing", (
            Refuse(frozenset({400}), (Want(b"POST", b"/p", b"hello"),)),
            serve(Want(b"POST", b"/p", b"hello"), Want(b"POST", b"/q", b"hello"), after=After.CLOSES),
        )),
    Case("the second has both framings", get(b"/a") + lines(b"POST /b HTTP/1.1", b"Host: a.example",
        b"Content-Length: 15", b"Transfer-Encoding: chunked", b"", ENDS), REFUSED, (BAD_AFTER_A,)),
    Case("the second has two lengths", get(b"/a") + lines(b"POST /b HTTP/1.1", b"Host: a.example",
        b"Content-Length: 5", b"Content-Length: 6", b"", b"hello"), REFUSED, (BAD_AFTER_A,)),
    Case("the second has no Host", get(b"/a") + lines(b"GET /b HTTP/1.1", b"A: b", b"", b""), REFUSED, (BAD_AFTER_A,)),
    Case("the second is no request", get(b"/a") + b"hello\r\n\r\n", REFUSED, (BAD_AFTER_A,)),
    Case("the second has a bad chunk", get(b"/a") + chunked(b"/b", b"x\r\n"), REFUSED, (BAD_AFTER_A,)),
    Case("the second is bad, the third good", get(b"/a") + get(b"/b").replace(b"Host", b"Host ") + get(b"/c"),
        REFUSED, (BAD_AFTER_A,)),
    Case("the first is bad", get(b"/a").replace(b"Host", b"Host ") + get(b"/b"), REFUSED, (Refuse(frozenset({400})),)),
    Case("a CR between", get(b"/a") + b"\r" + get(b"/b"),
        "RFC 9112 section 2.2: CR alone is invalid", (BAD_AFTER_A,)),
    Case("an empty line and a CR between", get(b"/a") + b"\r\n\r" + get(b"/b"),
        "RFC 9112 section 2.2: CR alone is invalid", (BAD_AFTER_A,)),
    Case("an empty line and LF between", get(b"/a") + b"\r\n\n" + get(b"/b"),
        "RFC 9112 section 2.2: LF alone may be taken for the end of a line, or be refused", (BAD_AFTER_A, serve(A, B))),
    Case("a space between", get(b"/a") + b" " + get(b"/b"), REFUSED, (BAD_AFTER_A,)),
    Case("a NUL between", get(b"/a") + b"\0" + get(b"/b"), REFUSED, (BAD_AFTER_A,)),
]  # fmt: skip
