"""Connection, which names headers for this hop alone, and Upgrade, which would end HTTP on the connection."""

from benchmarks.smuggling.case import BAD, After, Case, Refuse, Want, lines, serve

NOMINATED = "RFC 9110 section 7.6.1: a nominated header is taken away, and Connection with it"
ESSENTIAL = "RFC 9110 section 7.6.1: what every recipient needs is not to be nominated; the request stays what it is"
HOP = "RFC 9110 section 7.6.1: known hop-by-hop headers are taken away, nominated or not"
CLOSE = "RFC 9112 section 9.3: close closes, and wins over keep-alive"
STAY = "RFC 9112 section 9.3: an HTTP/1.1 connection stays open unless one side says close"
IGNORED = "RFC 9110 section 7.8: an upgrade may be ignored; it is for this hop, and the request is served as it is"
OFFERED = (
    "RFC 9110 section 7.8: an upgrade is over where the answer is no 101; what came before the answer may be of the "
    "other protocol, so it must not be read as a request"
)
NAME = "RFC 9112 section 5.1: no whitespace before the colon; 400"


def headed(*fields: bytes) -> bytes:
    """A GET with these header lines."""
    return lines(b"GET / HTTP/1.1", b"Host: a.example", *fields, b"", b"")


def posted(*fields: bytes) -> bytes:
    """A POST of `hello` with these header lines."""
    return lines(b"POST / HTTP/1.1", b"Host: a.example", *fields, b"Content-Length: 5", b"", b"hello")


def got(**fields: bytes | None) -> Want:
    """The GET, with these fields; ``_`` in a name stands for ``-``."""
    return Want(b"GET", b"/", fields={name.replace("_", "-").encode(): value for name, value in fields.items()})


HELLO = serve(Want(b"POST", b"/", b"hello"))
HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
REFUSED_BY_BACKEND = serve(
    Want(b"GET", b"/"),  # a backend that is a proxy itself may leave Upgrade out
    after=After.CLOSES,
)
PRIOR = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

CASES = [
    Case("nominates a header", headed(b"Connection: A", b"A: b", b"AB: c"), NOMINATED, (serve(got(a=None, ab=b"c")),)),
    Case("nominates in a list", headed(b"A: b", b"Connection: keep-alive ,  a,c", b"C: d", b"E: f"), NOMINATED, (
        serve(got(a=None, c=None, e=b"f")),
    )),
    Case("nominates in two lines", headed(b"Connection: a", b"A: b", b"Connection: c", b"C: d"), NOMINATED, (
        serve(got(a=None, c=None)),
    )),
    Case("nominates Cookie", headed(b"Connection: cookie", b"Cookie: a=b"), NOMINATED, (serve(got(cookie=None)),)),
    Case("nominates X-Forwarded-For", headed(b"Connection: x-forwarded-for"), ESSENTIAL, (
        serve(Want(b"GET", b"/")),  # without it, the request would not be counted as this client's
    )),
    Case("nominates X-Request-Id", headed(b"Connection: x-request-id"), ESSENTIAL, (serve(Want(b"GET", b"/")),)),
    Case("nominates Content-Length", posted(b"Connection: content-length"), ESSENTIAL, (HELLO,)),
    Case("nominates Content-Length before close", posted(b"Connection: close, content-length"), ESSENTIAL, (
        serve(Want(b"POST", b"/", b"hello"), after=After.CLOSES),
    )),
    Case("nominates Transfer-Encoding", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Connection: transfer-encoding",
        b"Transfer-Encoding: chunked", b"", b"5\r\nhello\r\n0\r\n\r\n"), ESSENTIAL, (HELLO,)),
    Case("nominates Host", headed(b"Connection: host"), ESSENTIAL, (serve(got(host=b"a.example")),)),
    Case("nominates Expect", posted(b"Connection: expect", b"Expect: 100-continue"), NOMINATED, (HELLO,)),
    Case("nominates what is not there", headed(b"Connection: x"), NOMINATED, (serve(Want(b"GET", b"/")),)),
    Case("nominates itself", headed(b"Connection: connection"), NOMINATED, (serve(Want(b"GET", b"/")),)),
    Case("empty", headed(b"Connection:"), STAY, (serve(Want(b"GET", b"/")),)),
    Case("commas", headed(b"Connection: ,, ,"), STAY, (serve(Want(b"GET", b"/")),)),
    Case("no tokens", headed(b'Connection: "a", (b)'),
        "RFC 9110 section 7.6.1: connection options are tokens; refused or ignored", (BAD, serve(Want(b"GET", b"/")))),
    Case("close", headed(b"Connection: close"), CLOSE, (serve(Want(b"GET", b"/"), after=After.CLOSES),)),
    Case("CLOSE", headed(b"connection: CLOSE"), CLOSE, (serve(Want(b"GET", b"/"), after=After.CLOSES),)),
    Case("keep-alive, close", headed(b"Connection: keep-alive, close"), CLOSE, (
        serve(Want(b"GET", b"/"), after=After.CLOSES),
    )),
    Case("close, then keep-alive", headed(b"Connection: close", b"Connection: keep-alive"), CLOSE, (
        serve(Want(b"GET", b"/"), after=After.CLOSES),
    )),
    Case("close with a body", posted(b"Connection: close"), CLOSE, (
        serve(Want(b"POST", b"/", b"hello"), after=After.CLOSES),
    )),
    Case("closed", headed(b"Connection: closed"), STAY, (serve(Want(b"GET", b"/")),)),
    Case("Proxy-Connection: close", headed(b"Proxy-Connection: close"), HOP, (serve(got(proxy_connection=None)),)),
    Case("Keep-Alive", headed(b"Keep-Alive: timeout=1"), HOP, (serve(got(keep_alive=None)),)),
    Case("TE", headed(b"TE: trailers, chunked"), HOP, (serve(got(te=None)),)),
    Case("upgrade to h2c", headed(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__"), IGNORED, (serve(got(upgrade=None, http2_settings=None)),)),
    Case("upgrade to h2c, settings not nominated", headed(b"Connection: Upgrade", b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__"), IGNORED, (serve(got(upgrade=None)),)),
    Case("upgrade to h2c, not nominated", headed(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"), IGNORED, (
        serve(got(upgrade=None)),
    )),
    Case("upgrade to h2c with a body", posted(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__"), IGNORED, (serve(Want(b"POST", b"/", b"hello", {b"upgrade": None})),)),
    Case("upgrade to h2c with chunks", lines(b"POST / HTTP/1.1", b"Host: a.example", b"Connection: Upgrade",
        b"Upgrade: h2c", b"Transfer-Encoding: chunked", b"", b"5\r\nhello\r\n0\r\n\r\n"), IGNORED, (
            serve(Want(b"POST", b"/", b"hello", {b"upgrade": None})),
        )),
    Case("upgrade to h2c, then HTTP/2", headed(b"Connection: Upgrade", b"Upgrade: h2c") + PRIOR, IGNORED, (
        Refuse(frozenset({400, 501, 505}), (got(upgrade=None),)),
    )),
    Case("upgrade to WebSocket", headed(*HANDSHAKE, KEY), OFFERED, (REFUSED_BY_BACKEND,)),
    Case("upgrade to WebSocket, wrong version with a key", headed(b"Connection: Upgrade", b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 777", KEY), OFFERED, (REFUSED_BY_BACKEND,)),
    Case("upgrade to WebSocket, then a request", headed(*HANDSHAKE, KEY) + lines(b"GET /inside HTTP/1.1",
        b"Host: a.example", b"", b""), OFFERED, (REFUSED_BY_BACKEND,)),
    Case("upgrade to WebSocket, then a frame", headed(*HANDSHAKE, KEY) + b"\x81\x85\0\0\0\0hello", OFFERED, (
        REFUSED_BY_BACKEND,
    )),
    Case("upgrade to WebSocket, then half a head", headed(*HANDSHAKE, KEY) + b"GET /inside HTTP/1.1\r\nX: ", OFFERED, (
        REFUSED_BY_BACKEND,
    )),
    Case("upgrade to WebSocket by POST", posted(*HANDSHAKE, KEY), IGNORED, (
        serve(Want(b"POST", b"/", b"hello", {b"upgrade": None})),
    )),
    Case("upgrade to WebSocket with a body", lines(b"GET / HTTP/1.1", b"Host: a.example", *HANDSHAKE, KEY,
        b"Content-Length: 5", b"", b"hello"), IGNORED, (serve(Want(b"GET", b"/", b"hello", {b"upgrade": None})),)),
    Case("upgrade to WebSocket, two keys", headed(*HANDSHAKE, KEY, KEY), IGNORED, (serve(got(upgrade=None)),)),
    Case("upgrade to WebSocket, key nominated", headed(b"Connection: Upgrade, Sec-WebSocket-Key",
        b"Upgrade: websocket", KEY), IGNORED, (serve(got(upgrade=None, sec_websocket_key=None)),)),
    Case("upgrade to WebSocket, not nominated", headed(b"Upgrade: websocket", KEY), IGNORED, (
        serve(got(upgrade=None)),
    )),
    Case("upgrade to WebSocket or h2c", headed(b"Connection: Upgrade", b"Upgrade: websocket, h2c", KEY), IGNORED, (
        serve(got(upgrade=None)),
    )),
    Case("upgrade to WebSocket in HTTP/1.0", lines(b"GET / HTTP/1.0", b"Host: a.example", *HANDSHAKE, KEY, b"", b""),
        IGNORED, (serve(got(upgrade=None), after=After.CLOSES),)),
    Case("upgrade to WebSocket, wrong version", headed(b"Connection: Upgrade", b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 777"), IGNORED, (serve(got(upgrade=None)),)),
    Case("upgrade to TLS", headed(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), IGNORED, (serve(got(upgrade=None)),)),
    Case("upgrade, space before the colon", headed(b"Connection: Upgrade", b"Upgrade : h2c"), NAME, (BAD,)),
    Case("upgrade, twice", headed(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"), IGNORED, (
        serve(got(upgrade=None)),
    )),
]  # fmt: skip
