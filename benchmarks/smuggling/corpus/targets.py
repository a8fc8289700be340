"""The four forms of a target, and what is none of them."""

from benchmarks.smuggling.case import BAD, After, Case, Want, lines, refuse, serve

ABSOLUTE = "RFC 9112 section 3.2.2: the authority of an absolute target replaces Host"
AUTHORITY = "RFC 9110 section 4.2: this is no authority of an http URI; an error"
USER = "RFC 9110 section 4.2.4: a user in the authority should be treated as an error"
NEEDS_HOST = "RFC 9112 section 3.2: exactly one Host, in a request with an absolute target too"
ASTERISK = "RFC 9112 section 3.2.4: the asterisk is for OPTIONS; an absolute target without path and query means it"
ORIGIN = "RFC 9112 section 3.2.1: a path and a query, passed on as they came"
INVALID = "RFC 9112 section 3.2: an invalid request line should get 400"
NO_URI = "RFC 9112 section 3.2: these characters are not those of a URI; refused, or passed on as they came"
CONNECT = "RFC 9110 section 9.3.6: an origin that does not implement CONNECT answers with an error"


def aimed(target: bytes, method: bytes = b"GET", host: bytes = b"a.example", version: bytes = b"HTTP/1.1") -> bytes:
    """A request for this target."""
    return lines(method + b" " + target + b" " + version, b"Host: " + host, b"", b"")


def reached(target: bytes, host: bytes = b"a.example", method: bytes = b"GET") -> Want:
    """The request, as a backend sees it."""
    return Want(method, target, fields={b"host": host})


CASES = [
    Case("absolute", aimed(b"http://a.example/x?y"), ABSOLUTE, (serve(reached(b"/x?y")),)),
    Case("absolute, another host", aimed(b"http://b.example/x"), ABSOLUTE, (serve(reached(b"/x", b"b.example")),)),
    Case("absolute, another port", aimed(b"http://a.example:81/x"), ABSOLUTE, (
        serve(reached(b"/x", b"a.example:81")),
    )),
    Case("absolute, empty Host", aimed(b"http://b.example/", host=b""), ABSOLUTE, (
        serve(reached(b"/", b"b.example")),
    )),
    Case("absolute, in capitals", aimed(b"HTTP://a.example/x"), ABSOLUTE, (serve(reached(b"/x")),)),
    Case("absolute, https", aimed(b"https://a.example/x"),
        "RFC 9110 section 7.4: a scheme that the connection does not have may be served or refused", (
            refuse(400, 421), serve(reached(b"/x")),
        )),
    Case("absolute, without path", aimed(b"http://a.example"), ABSOLUTE, (serve(reached(b"/")),)),
    Case("absolute, query only", aimed(b"http://a.example?x"), ABSOLUTE, (serve(reached(b"/?x")),)),
    Case("absolute, IPv6", aimed(b"http://[::1]:80/"), ABSOLUTE, (serve(reached(b"/", b"[::1]:80")),)),
    Case("absolute, in HTTP/1.0", aimed(b"http://b.example/", version=b"HTTP/1.0"), ABSOLUTE, (
        serve(reached(b"/", b"b.example"), after=After.CLOSES),
    )),
    Case("absolute, a user", aimed(b"http://user@a.example/"), USER, (BAD,)),
    Case("absolute, a user who looks like the host", aimed(b"http://a.example:80@b.example/"), USER, (BAD,)),
    Case("absolute, no authority", aimed(b"http:///x"), AUTHORITY, (BAD,)),
    Case("absolute, only a port", aimed(b"http://:80/x"), AUTHORITY, (BAD,)),
    Case("absolute, two ports", aimed(b"http://a.example:80:81/"), AUTHORITY, (BAD,)),
    Case("absolute, a port in letters", aimed(b"http://a.example:x/"), AUTHORITY, (BAD,)),
    Case("absolute, a backslash", aimed(b"http://a.example\\@b.example/"), AUTHORITY, (BAD,)),
    Case("absolute, an open bracket", aimed(b"http://[::1/"), AUTHORITY, (BAD,)),
    Case("absolute, one slash", aimed(b"http:/a.example/"), INVALID, (BAD,)),
    Case("absolute, no slashes", aimed(b"http:a.example"), INVALID, (BAD,)),
    Case("absolute, a fragment", aimed(b"http://a.example/#b"), INVALID, (BAD,)),
    Case("absolute, another scheme", aimed(b"ftp://a.example/x"), INVALID, (refuse(400, 421, 501),)),
    Case("absolute, no Host", lines(b"GET http://a.example/ HTTP/1.1", b"A: b", b"", b""), NEEDS_HOST, (BAD,)),
    Case("absolute, two Hosts", lines(b"GET http://a.example/ HTTP/1.1", b"Host: a.example", b"Host: b.example", b"",
        b""), NEEDS_HOST, (BAD,)),
    Case("absolute, a bad Host", aimed(b"http://a.example/", host=b"a/b"), NEEDS_HOST, (BAD,)),
    Case("asterisk of OPTIONS", aimed(b"*", b"OPTIONS"), ASTERISK, (
        serve(reached(b"*", method=b"OPTIONS")),
    ), may_be_declined=True),
    Case("OPTIONS, absolute without path", aimed(b"http://a.example", b"OPTIONS"), ASTERISK, (
        serve(reached(b"*", method=b"OPTIONS")),
    ), may_be_declined=True),
    Case("OPTIONS, absolute with a path", aimed(b"http://a.example/", b"OPTIONS"), ABSOLUTE, (
        serve(reached(b"/", method=b"OPTIONS")),
    )),
    Case("asterisk of GET", aimed(b"*"), ASTERISK, (BAD,)),
    Case("asterisk of POST", aimed(b"*", b"POST"), ASTERISK, (BAD,)),
    Case("two asterisks", aimed(b"**", b"OPTIONS"), INVALID, (BAD,)),
    Case("CONNECT", aimed(b"a.example:443", b"CONNECT"), CONNECT, (refuse(400, 405, 501),)),
    Case("CONNECT, a path", aimed(b"/", b"CONNECT"), CONNECT, (refuse(400, 405, 501),)),
    Case("CONNECT, absolute", aimed(b"http://a.example/", b"CONNECT"), CONNECT, (refuse(400, 405, 501),)),
    Case("CONNECT, a body with a request", lines(b"CONNECT a.example:443 HTTP/1.1", b"Host: a.example",
        b"Content-Length: 38", b"", b"GET /smuggled HTTP/1.1\r\nHost: a.ex\r\n\r\n"), CONNECT, (
            refuse(400, 405, 501),
        )),
    Case("CONNECT, in HTTP/1.0", aimed(b"a.example:443", b"CONNECT", version=b"HTTP/1.0"), CONNECT, (
        refuse(400, 405, 501),
    )),
    Case("authority of GET", aimed(b"a.example:80"), INVALID, (BAD,)),
    Case("no slash", aimed(b"x"), INVALID, (BAD,)),
    Case("query only", aimed(b"?x"), INVALID, (BAD,)),
    Case("a fragment", aimed(b"/a#b"), INVALID, (BAD,)),
    Case("two slashes", aimed(b"//b.example/x"), ORIGIN, (serve(reached(b"//b.example/x")),)),
    Case("dots", aimed(b"/a/../b/./c"), ORIGIN, (serve(reached(b"/a/../b/./c")),)),
    Case("encoded CRLF", aimed(b"/%0d%0aA:%20b"), ORIGIN, (serve(reached(b"/%0d%0aA:%20b")),)),
    Case("encoded request line", aimed(b"/%20HTTP/1.1%0d%0aHost:%20s"), ORIGIN, (
        serve(reached(b"/%20HTTP/1.1%0d%0aHost:%20s")),
    )),
    Case("an absolute target for a path", aimed(b"/http://b.example/"), ORIGIN, (serve(reached(b"/http://b.example/")),)),
    Case("a half-encoded byte", aimed(b"/%2"), NO_URI, (BAD, serve(reached(b"/%2"))), may_be_declined=True),
    Case("a backslash", aimed(b"/\\..\\x"), NO_URI, (BAD, serve(reached(b"/\\..\\x")))),
    Case("brackets and quotes", aimed(b'/"<>[]^`{|}'), NO_URI, (BAD, serve(reached(b'/"<>[]^`{|}')))),
    Case("bytes beyond ASCII", aimed("/é".encode()), NO_URI, (BAD, serve(reached("/é".encode())))),
    Case("DEL", aimed(b"/\x7f"), INVALID, (BAD,)),
    Case("a control character", aimed(b"/\x01"), INVALID, (BAD,)),
]  # fmt: skip
