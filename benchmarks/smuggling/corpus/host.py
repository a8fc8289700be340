"""Host: exactly one, and a host."""

from benchmarks.smuggling.case import BAD, After, Case, Want, lines, serve

ONE = "RFC 9112 section 3.2: 400 for a request of HTTP/1.1 without Host, and for any with more than one"
INVALID = "RFC 9112 section 3.2: 400 for an invalid value of Host"
VALID = 'RFC 9110 section 7.2: Host = uri-host [ ":" port ], passed on'
ODD = "RFC 3986 section 3.2.2: within the grammar of a registered name, though no host is called so; may be refused"
EMPTY = "RFC 9110 sections 4.2.1 and 7.2: within the grammar of Host, though not of an http URI; may be refused"
FOLDED = "RFC 9112 section 5.2: obs-fold is refused or read as spaces"
OLD = "RFC 9112 section 3.2: an HTTP/1.0 request may lack Host"


def hosted(*fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with these header lines."""
    return lines(b"GET / " + version, *fields, b"", b"")


def named(host: bytes) -> Want:
    """The GET, with this Host."""
    return Want(b"GET", b"/", fields={b"host": host})


GET = serve(Want(b"GET", b"/"))

CASES = [
    Case("plain", hosted(b"Host: a.example"), VALID, (serve(named(b"a.example")),)),
    Case("a port", hosted(b"Host: a.example:8080"), VALID, (serve(named(b"a.example:8080")),)),
    Case("IPv6", hosted(b"Host: [::1]:80"), VALID, (serve(named(b"[::1]:80")),)),
    Case("underscore", hosted(b"Host: a_b.example"), VALID, (serve(named(b"a_b.example")),)),
    Case("last of the headers", hosted(b"A: b", b"C: d", b"host: a.example"), VALID, (serve(named(b"a.example")),)),
    Case("none", hosted(b"A: b"), ONE, (BAD,)),
    Case("no header at all", hosted(), ONE, (BAD,)),
    Case("two", hosted(b"Host: a.example", b"Host: b.example"), ONE, (BAD,)),
    Case("the same twice", hosted(b"Host: a.example", b"host: a.example"), ONE, (BAD,)),
    Case("two, others between", hosted(b"Host: a.example", b"A: b", b"HOST: b.example"), ONE, (BAD,)),
    Case("two, one empty", hosted(b"Host:", b"Host: a.example"), ONE, (BAD,)),
    Case("two in HTTP/1.0", hosted(b"Host: a.example", b"Host: b.example", version=b"HTTP/1.0"), ONE, (BAD,)),
    Case("none in HTTP/1.0", hosted(b"A: b", version=b"HTTP/1.0"), OLD, (
        serve(Want(b"GET", b"/"), after=After.CLOSES),
    )),
    Case("invalid in HTTP/1.0", hosted(b"Host: a/b", version=b"HTTP/1.0"), INVALID, (BAD,)),
    Case("empty", hosted(b"Host:"), EMPTY, (BAD, GET), may_be_declined=True),
    Case("only a port", hosted(b"Host: :80"), EMPTY, (BAD, GET), may_be_declined=True),
    Case("a user", hosted(b"Host: user@a.example"), INVALID, (BAD,)),
    Case("a user and a password", hosted(b"Host: user:pass@a.example"), INVALID, (BAD,)),
    Case("a path", hosted(b"Host: a.example/b"), INVALID, (BAD,)),
    Case("a query", hosted(b"Host: a.example?b"), INVALID, (BAD,)),
    Case("a fragment", hosted(b"Host: a.example#b"), INVALID, (BAD,)),
    Case("a scheme", hosted(b"Host: http://a.example"), INVALID, (BAD,)),
    Case("a space inside", hosted(b"Host: a b"), INVALID, (BAD,)),
    Case("a tab inside", hosted(b"Host: a\tb"), INVALID, (BAD,)),
    Case("a list", hosted(b"Host: a.example, b.example"), INVALID, (BAD,)),
    Case("a list without space", hosted(b"Host: a.example,b.example"), ODD, (BAD, GET)),
    Case("a semicolon", hosted(b"Host: a.example;b"), ODD, (BAD, GET)),
    Case("an encoded NUL", hosted(b"Host: a.example%00.b"), ODD, (BAD, GET)),
    Case("a port in letters", hosted(b"Host: a.example:http"), INVALID, (BAD,)),
    Case("two ports", hosted(b"Host: a.example:80:80"), INVALID, (BAD,)),
    Case("a negative port", hosted(b"Host: a.example:-80"), INVALID, (BAD,)),
    Case("an open bracket", hosted(b"Host: [::1"), INVALID, (BAD,)),
    Case("text after a bracket", hosted(b"Host: [::1]b"), INVALID, (BAD,)),
    Case("a backslash", hosted(b"Host: a.example\\b"), INVALID, (BAD,)),
    Case("quoted", hosted(b'Host: "a.example"'), INVALID, (BAD,)),
    Case("beyond ASCII", hosted("Host: é.example".encode()), INVALID, (BAD,)),
    Case("NUL inside", hosted(b"Host: a.example\x00b"), INVALID, (BAD,)),
    Case("folded", hosted(b"Host:", b" a.example"), FOLDED, (BAD, GET)),
    Case("folded in the middle", hosted(b"Host: a.example", b" b"), FOLDED, (BAD,)),
    Case("another in a fold", hosted(b"Host: a.example", b"A: b", b" Host: b.example"), FOLDED, (
        BAD, serve(named(b"a.example")),
    )),
    Case("another with an underscore", hosted(b"Host: a.example", b"X_Host: b.example"),
        "RFC 9110 section 5.1: this is another field", (serve(named(b"a.example")),)),
]  # fmt: skip
