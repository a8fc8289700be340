"""Bodies where none is expected, bodies that look like requests, and bodies that end too early."""

from benchmarks.smuggling.case import BAD, UNFINISHED, Case, Refuse, Want, lines, refuse, serve

FRAMED = "RFC 9112 section 6: the framing does not depend on the method"
OPAQUE = "RFC 9112 section 6.3: the body is as long as the head says, whatever is in it"
EMPTY = "RFC 9112 section 6.3: a request with neither Transfer-Encoding nor Content-Length has no body"
EARLY = "RFC 9112 section 8: a request whose body does not come whole is incomplete, and not to be served"
TRACE = "RFC 9110 section 9.3.8: a client must not send content in TRACE; refused, or framed as any"

INNER = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"


def measured(method: bytes, *, body: bytes = b"hello") -> bytes:
    """A request with a body of known length."""
    return lines(method + b" / HTTP/1.1", b"Host: a.example", b"Content-Length: %d" % len(body), b"", body)


def chunked(method: bytes, body: bytes = b"5\r\nhello\r\n0\r\n\r\n") -> bytes:
    """A request with a chunked body."""
    return lines(method + b" / HTTP/1.1", b"Host: a.example", b"Transfer-Encoding: chunked", b"", body)


CASES = [
    *(
        Case(f"{method.decode()} with a length", measured(method), FRAMED, (serve(Want(method, b"/", b"hello")),))
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS")
    ),
    *(
        Case(f"{method.decode()} in chunks", chunked(method), FRAMED, (serve(Want(method, b"/", b"hello")),))
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS")
    ),
    Case("TRACE with a length", measured(b"TRACE"), TRACE, (
        serve(Want(b"TRACE", b"/", b"hello")), refuse(400, 405),
    ), may_be_declined=True),
    *(
        Case(f"a request as the body of {method.decode()}", measured(method, body=INNER), OPAQUE, (
            serve(Want(method, b"/", INNER)),
        ))
        for method in (b"GET", b"HEAD", b"POST")
    ),
    Case("a request as a chunk", chunked(b"POST", b"2b\r\n%s\r\n0\r\n\r\n" % INNER), OPAQUE, (
        serve(Want(b"POST", b"/", INNER)),
    )),
    Case("a request of LF as the body", measured(b"POST", body=INNER.replace(b"\r", b"")), OPAQUE, (
        serve(Want(b"POST", b"/", INNER.replace(b"\r", b""))),
    )),
    Case("a body of line ends", measured(b"POST", body=b"\r\n\r\n\n\r\0"), OPAQUE, (
        serve(Want(b"POST", b"/", b"\r\n\r\n\n\r\0")),
    )),
    Case("no length", lines(b"POST / HTTP/1.1", b"Host: a.example", b"", b""), EMPTY, (serve(Want(b"POST", b"/")),)),
    Case("no length, but a body", lines(b"POST / HTTP/1.1", b"Host: a.example", b"", b"hello"), EMPTY, (
        Refuse(frozenset({400, 501}), (Want(b"POST", b"/"),)),
    )),
    Case("no length, but a request", lines(b"POST / HTTP/1.1", b"Host: a.example", b"", INNER), EMPTY, (
        serve(Want(b"POST", b"/"), Want(b"GET", b"/smuggled")),
    )),
    Case("longer than its length", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Content-Length: 2", b"", b"hello"),
        OPAQUE, (Refuse(frozenset({400, 501}), (Want(b"POST", b"/", b"he"),)),)),
    Case("chunks, and more after them", chunked(b"POST", b"0\r\n\r\nhello"), OPAQUE, (
        Refuse(frozenset({400, 501}), (Want(b"POST", b"/"),)),
    )),
    Case("chunks of a megabyte", chunked(b"POST", (b"fff0\r\n" + b"x" * 65_520 + b"\r\n") * 15 + b"0\r\n\r\n"),
        OPAQUE, (serve(Want(b"POST", b"/", b"x" * 65_520 * 15)),)),
    Case("the next request is taken for the body", lines(b"POST / HTTP/1.1", b"Host: a.example",
        b"Content-Length: 900", b"", b""), EARLY, (UNFINISHED,)),
    Case("the client ends in the head", b"GET / HTTP/1.1\r\nHost: a.example\r\n", EARLY, (UNFINISHED,), cut=True),
    Case("the client ends in the request line", b"GET / HT", EARLY, (UNFINISHED,), cut=True),
    Case("the client ends before the body", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Content-Length: 5", b"",
        b""), EARLY, (UNFINISHED,), cut=True),
    Case("the client ends in the body", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Content-Length: 9", b"",
        b"hello"), EARLY, (UNFINISHED,), cut=True),
    *(
        Case(f"the client ends {where}", chunked(b"POST", sent), EARLY, (UNFINISHED,), cut=True)
        for where, sent in (
            ("before a chunk", b""),
            ("in a chunk's size", b"5"),
            ("in a chunk", b"5\r\nhel"),
            ("after a chunk's data", b"5\r\nhello"),
            ("after a chunk", b"5\r\nhello\r\n"),
            ("in the last chunk's size", b"5\r\nhello\r\n0"),
            ("before the last line", b"5\r\nhello\r\n0\r\n"),
            ("in the last line's end", b"5\r\nhello\r\n0\r\n\r"),
            ("in a trailer", b"5\r\nhello\r\n0\r\nA: b\r\n"),
        )
    ),
    Case("a second request that the client does not end", measured(b"POST") + measured(b"POST")[:-2], EARLY, (
        UNFINISHED, Refuse(UNFINISHED.statuses, (Want(b"POST", b"/", b"hello"),)),
    ), cut=True),
    Case("a bad chunk after a good one", chunked(b"POST", b"5\r\nhello\r\nx\r\n"),
        "RFC 9112 section 7.1: chunk-size = 1*HEXDIG", (BAD,)),
]  # fmt: skip
