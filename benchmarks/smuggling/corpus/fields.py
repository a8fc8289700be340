"""Names and values of fields: what is none, what comes twice, what is folded, what claims to be the router's."""

from benchmarks.smuggling.case import BAD, Case, Want, lines, refuse, serve

TOKEN = "RFC 9110 section 5.1: a name is a token; 400"
CONTROL = "RFC 9110 section 5.5: control characters are invalid, but may be retained where that is safe"
VALUE = "RFC 9110 section 5.5: this is a value, passed on as it came"
FOLDED = "RFC 9112 section 5.2: obs-fold is refused or read as spaces"
REPEATED = "RFC 9110 section 5.3: the order of repeated fields is kept"
OWN = "RFC 9110 section 7.6.3 and RFC 7239 section 8: what a client says of its own address is not to be trusted"


def headed(*fields: bytes) -> bytes:
    """A GET with these header lines."""
    return lines(b"GET / HTTP/1.1", b"Host: a.example", *fields, b"", b"")


def with_fields(**fields: bytes | None) -> Want:
    """The GET, with these fields; ``_`` in a name stands for ``-``."""
    return Want(b"GET", b"/", fields={name.replace("_", "-").encode(): value for name, value in fields.items()})


GET = serve(Want(b"GET", b"/"))

CASES = [
    Case("no name", headed(b": b"), TOKEN, (BAD,)),
    Case("nothing but a colon", headed(b":"), TOKEN, (BAD,)),
    Case("no colon", headed(b"A"), TOKEN, (BAD,)),
    Case("HTTP/1.1 for a header", headed(b"HTTP/1.1"), TOKEN, (BAD,)),
    Case("a request line for a header", headed(b"GET /smuggled HTTP/1.1"), TOKEN, (BAD,)),
    Case("a request line with a colon for a header", headed(b"GET http://s/ HTTP/1.1"), TOKEN, (BAD,)),
    *(
        Case(f"{character.decode('latin-1')!r} in a name", headed(b"A" + character + b"B: c"), TOKEN, (BAD,))
        for character in (b'"', b"(", b"/", b"@", b"[", b"=", b",", b";", b"\\", b"{", b"\x01", b"\x7f", b"\x80")
    ),
    Case("a name in UTF-8", headed("É: b".encode()), TOKEN, (BAD,)),
    Case("every character of a token", headed(b"!#$%&'*+-.^_`|~09AZaz: b"), VALUE, (
        serve(Want(b"GET", b"/", fields={b"!#$%&'*+-.^_`|~09azaz": b"b"})),
    )),
    Case("empty value", headed(b"A:"), VALUE, (serve(with_fields(a=b"")),)),
    Case("colons in a value", headed(b"A:: b:c"), VALUE, (serve(with_fields(a=b": b:c")),)),
    Case("a value in UTF-8", headed("A: é".encode()), VALUE, (serve(with_fields(a=b"\xc3\xa9")),)),
    Case("a value of high bytes", headed(b"A: \xff\xfe\x80"), VALUE, (serve(with_fields(a=b"\xff\xfe\x80")),)),
    Case("a value with a tab", headed(b"A: b\tc"), VALUE, (serve(with_fields(a=b"b\tc")),)),
    Case("a control character in a value", headed(b"A: b\x01c"), CONTROL, (BAD, GET)),
    Case("a backspace in a value", headed(b"A: b\x08"), CONTROL, (BAD, GET)),
    Case("an escape in a value", headed(b"A: \x1b[2J"), CONTROL, (BAD, GET)),
    Case("DEL in a value", headed(b"A: \x7f"), CONTROL, (BAD, GET)),
    Case("a vertical tab in a value", headed(b"A: b\x0bc"), CONTROL, (BAD, GET)),
    Case("folded with a space", headed(b"A: b", b" c"), FOLDED, (BAD, GET)),
    Case("folded with a tab", headed(b"A: b", b"\tc"), FOLDED, (BAD, GET)),
    Case("folded before the value", headed(b"A:", b" b"), FOLDED, (BAD, GET)),
    Case("folded twice", headed(b"A: b", b" c", b" d"), FOLDED, (BAD, GET)),
    Case("a header in a fold", headed(b"A: b", b" Content-Length: 5"), FOLDED, (BAD, GET)),
    Case("a fold of nothing but a tab", headed(b"A: b", b"\t"), FOLDED, (BAD, GET)),
    Case("repeated", headed(b"A: b", b"C: d", b"A: e"), REPEATED, (serve(with_fields(a=b"b, e", c=b"d")),)),
    Case("Cookie repeated", headed(b"Cookie: a=b", b"Cookie: c=d"), REPEATED, (
        serve(with_fields(cookie=b"a=b, c=d")), serve(with_fields(cookie=b"a=b; c=d")),
    )),
    Case("a thousand commas", headed(b"Accept: " + b"," * 1000), VALUE, (serve(with_fields(accept=b"," * 1000)),)),
    Case("X-Forwarded-For", headed(b"X-Forwarded-For: 192.0.2.1"), OWN, (serve(with_fields(forwarded=None)),)),
    Case("X_Forwarded_For", headed(b"X_Forwarded_For: 192.0.2.1"), OWN, (
        serve(Want(b"GET", b"/", fields={b"x_forwarded_for": None})),
    )),
    *(
        Case(name.decode(), headed(name + b": 192.0.2.1"), OWN, (
            serve(Want(b"GET", b"/", fields={name.lower(): None})),
        ))
        for name in (b"X-Real-IP", b"X_Real_IP", b"True-Client-IP", b"CF-Connecting-IP", b"X-Original-URL")
    ),
    Case("X-Forwarded-Host", headed(b"X-Forwarded-Host: s"), OWN, (
        serve(with_fields(x_forwarded_host=b"a.example")),
    )),
    Case("X-Forwarded-Proto", headed(b"X-Forwarded-Proto: https"), OWN, (
        serve(with_fields(x_forwarded_proto=b"http")),
    )),
    Case("Forwarded", headed(b"Forwarded: for=192.0.2.1;host=s"), OWN, (serve(with_fields(forwarded=None)),)),
    Case("a value of 7,000 bytes", headed(b"A: " + b"b" * 7000), VALUE, (serve(with_fields(a=b"b" * 7000)),)),
    Case("a name of 3,000 bytes", headed(b"A" * 3000 + b": b"),
        "RFC 9110 section 5.4: a server may limit the length of fields", (refuse(400, 431), GET)),
]  # fmt: skip
