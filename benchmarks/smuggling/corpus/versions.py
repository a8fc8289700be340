"""The version of a request."""

from benchmarks.smuggling.case import BAD, After, Case, Want, lines, refuse, serve

MAJOR = "RFC 9110 section 15.6.6: a major version that is not served may get 505; 400 where it is not HTTP/1"
MINOR = "RFC 9110 section 6.2: a higher minor version should be read as the highest one known, or may be refused"
GRAMMAR = 'RFC 9112 section 2.3: HTTP-version = "HTTP" "/" DIGIT "." DIGIT, case-sensitive; otherwise 400'
SIMPLE = "RFC 9112 section 3: a request line has a version; HTTP/0.9 is not HTTP/1"
OLD = "RFC 9112 section 9.3: an HTTP/1.0 connection stays open only where both sides say so"


def versioned(version: bytes, *fields: bytes) -> bytes:
    """A GET with this at the end of its request line."""
    return lines(b"GET /" + version, b"Host: a.example", *fields, b"", b"")


CASES = [
    Case("HTTP/1.0", versioned(b" HTTP/1.0"), OLD, (serve(Want(b"GET", b"/"), after=After.CLOSES),)),
    Case("HTTP/1.0 that stays", versioned(b" HTTP/1.0", b"Connection: keep-alive"), OLD, (
        serve(Want(b"GET", b"/"), after=After.EITHER),
    )),
    Case("HTTP/1.2", versioned(b" HTTP/1.2"), MINOR, (refuse(400, 505), serve(Want(b"GET", b"/")))),
    Case("HTTP/1.9", versioned(b" HTTP/1.9"), MINOR, (refuse(400, 505), serve(Want(b"GET", b"/")))),
    Case("HTTP/2.0", versioned(b" HTTP/2.0"), MAJOR, (refuse(400, 505),)),
    Case("HTTP/3.0", versioned(b" HTTP/3.0"), MAJOR, (refuse(400, 505),)),
    Case("HTTP/0.9 that says so", versioned(b" HTTP/0.9"), MAJOR, (refuse(400, 505),)),
    Case("HTTP/9.9", versioned(b" HTTP/9.9"), MAJOR, (refuse(400, 505),)),
    Case("HTTP/0.0", versioned(b" HTTP/0.0"), MAJOR, (refuse(400, 505),)),
    Case("none", versioned(b""), SIMPLE, (refuse(400, 505),)),
    Case("none, but a space", versioned(b" "), SIMPLE, (refuse(400, 505),)),
    Case("the simple request of HTTP/0.9", b"GET /\r\n\r\n", SIMPLE, (refuse(400, 505),)),
    Case("small letters", versioned(b" http/1.1"), GRAMMAR, (BAD,)),
    Case("mixed letters", versioned(b" Http/1.1"), GRAMMAR, (BAD,)),
    Case("no minor version", versioned(b" HTTP/1"), GRAMMAR, (BAD,)),
    Case("no major version", versioned(b" HTTP/.1"), GRAMMAR, (BAD,)),
    Case("two digits of minor version", versioned(b" HTTP/1.10"), GRAMMAR, (BAD,)),
    Case("zero before", versioned(b" HTTP/01.1"), GRAMMAR, (BAD,)),
    Case("a third number", versioned(b" HTTP/1.1.1"), GRAMMAR, (BAD,)),
    Case("comma", versioned(b" HTTP/1,1"), GRAMMAR, (BAD,)),
    Case("no slash", versioned(b" HTTP1.1"), GRAMMAR, (BAD,)),
    Case("letter after", versioned(b" HTTP/1.1x"), GRAMMAR, (BAD,)),
    Case("minus", versioned(b" HTTP/-1.1"), GRAMMAR, (BAD,)),
    Case("plus", versioned(b" HTTP/1.+1"), GRAMMAR, (BAD,)),
    Case("hexadecimal", versioned(b" HTTP/1.a"), GRAMMAR, (BAD,)),
    Case("HTTPS", versioned(b" HTTPS/1.1"), GRAMMAR, (BAD,)),
    Case("another protocol", versioned(b" ICY/1.1"), GRAMMAR, (BAD,)),
    Case("RTSP", versioned(b" RTSP/1.0"), GRAMMAR, (BAD,)),
]  # fmt: skip
