"""Transfer-Encoding, alone and beside Content-Length, in every disguise."""

from benchmarks.smuggling.case import BAD, After, Case, Want, lines, refuse, serve

BOTH = (
    "RFC 9112 section 6.3: Transfer-Encoding beside Content-Length may be refused, or overrides it; "
    "either way the connection is closed"
)
TABS = "RFC 9110 section 5.5: tabs around a value are no part of it; refusing them is stricter"
NOT_LAST = "RFC 9112 section 6.3: where chunked is not the final coding, 400, then close"
UNKNOWN = "RFC 9112 section 6.1: a coding that is not known should get 501; 400 says the same to a client"
TWICE = "RFC 9112 section 6.1: chunked must not be applied twice"
VALID = "RFC 9112 sections 6.1 and 7: names of codings are case-insensitive, chunked frames the body"
OLD = "RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing; the connection is closed at least"
NAME = "RFC 9112 section 5.1: no whitespace before the colon; 400"
TOKEN = "RFC 9110 section 5.1: a name is a token; 400"
OTHER_NAME = "RFC 9110 section 5.1: this is another field, which frames nothing"
FOLDED_NAME = (
    "RFC 9110 section 5.1: this is another field, which frames nothing; for backends that make variables of names "
    "(RFC 3875 section 4.1.18) it is the same, so they must not get it"
)
FOLDED = "RFC 9112 section 5.2: obs-fold is refused or read as spaces"
EMPTY_ELEMENT = "RFC 9110 section 5.6.1: a few empty elements of a list are to be ignored; refusing is stricter"
CONTROL = "RFC 9110 section 5.5: control characters are invalid; what is left is no known coding"
ONE_LF = "RFC 9112 section 2.2: LF alone may be taken for the end of a line, or be refused"
ONE_CR = "RFC 9112 section 2.2: CR alone is refused or read as a space"

BODY = b"5\r\nhello\r\n0\r\n\r\n"
CHUNKED = serve(Want(b"POST", b"/", b"hello"))
CHUNKED_THEN_CLOSED = serve(Want(b"POST", b"/", b"hello"), after=After.CLOSES)
EMPTY = serve(Want(b"POST", b"/"))

SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
"""Empty as chunks; as a body with its length, there is nothing after it."""


def coded(*fields: bytes, body: bytes = BODY, version: bytes = b"HTTP/1.1") -> bytes:
    """A POST with these header lines."""
    return lines(b"POST / " + version, b"Host: a.example", *fields, b"", body)


CASES = [
    Case("plain", coded(b"Transfer-Encoding: chunked"), VALID, (CHUNKED,)),
    Case("any case", coded(b"tRANSFER-eNCODING: cHUNKED"), VALID, (CHUNKED,)),
    Case("spaces around", coded(b"Transfer-Encoding:  chunked  "), VALID, (CHUNKED,)),
    Case("tab before", coded(b"Transfer-Encoding:\tchunked"), TABS, (BAD, CHUNKED)),
    Case("tab after", coded(b"Transfer-Encoding: chunked\t"), TABS, (BAD, CHUNKED)),
    Case("no space", coded(b"Transfer-Encoding:chunked"), VALID, (CHUNKED,)),
    # CL.TE and TE.CL
    Case("length first", coded(b"Content-Length: 15", b"Transfer-Encoding: chunked"), BOTH, (
        BAD, CHUNKED_THEN_CLOSED,
    )),
    Case("coding first", coded(b"Transfer-Encoding: chunked", b"Content-Length: 15"), BOTH, (
        BAD, CHUNKED_THEN_CLOSED,
    )),
    Case("CL.TE", coded(b"Content-Length: %d" % len(SMUGGLED), b"Transfer-Encoding: chunked", body=SMUGGLED), BOTH, (
        BAD, serve(Want(b"POST", b"/"), after=After.CLOSES),
    )),
    Case("TE.CL", coded(b"Transfer-Encoding: chunked", b"Content-Length: 3",
        body=b"1c\r\nGET /smuggled HTTP/1.1\r\nA: b\r\n0\r\n\r\n"), BOTH, (BAD,)),
    Case("length of zero", coded(b"Content-Length: 0", b"Transfer-Encoding: chunked"), BOTH, (
        BAD, CHUNKED_THEN_CLOSED,
    )),
    Case("invalid length", coded(b"Content-Length: x", b"Transfer-Encoding: chunked"), BOTH, (
        BAD, CHUNKED_THEN_CLOSED,
    )),
    Case("others between", coded(b"Content-Length: 15", b"A: b", b"Transfer-Encoding: chunked"), BOTH, (
        BAD, CHUNKED_THEN_CLOSED,
    )),
    Case("length and identity", coded(b"Content-Length: 15", b"Transfer-Encoding: identity"), NOT_LAST, (BAD,)),
    Case("length and xchunked", coded(b"Content-Length: 15", b"Transfer-Encoding: xchunked"), NOT_LAST, (
        refuse(400, 501),
    )),
    Case("length and an empty coding", coded(b"Content-Length: 15", b"Transfer-Encoding:"), NOT_LAST, (BAD,)),
    Case("length in an upgrade", coded(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 15",
        b"Transfer-Encoding: chunked"), BOTH, (BAD, CHUNKED_THEN_CLOSED)),
    Case("length and coding, both nominated", coded(b"Connection: content-length, transfer-encoding",
        b"Content-Length: 15", b"Transfer-Encoding: chunked"), BOTH, (BAD, CHUNKED_THEN_CLOSED)),
    Case("on a GET", lines(b"GET / HTTP/1.1", b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"",
        b"0\r\n\r\n"), BOTH, (BAD, serve(Want(b"GET", b"/"), after=After.CLOSES))),
    # TE.TE: lists and repetitions
    Case("twice", coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), TWICE, (refuse(400, 501),)),
    Case("twice in a list", coded(b"Transfer-Encoding: chunked, chunked"), TWICE, (refuse(400, 501),)),
    Case("then identity", coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), NOT_LAST, (BAD,)),
    Case("after identity", coded(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), UNKNOWN, (
        refuse(400, 501),
    )),
    Case("then identity in a list", coded(b"Transfer-Encoding: chunked, identity"), NOT_LAST, (BAD,)),
    Case("after identity in a list", coded(b"Transfer-Encoding: identity, chunked"), UNKNOWN, (refuse(400, 501),)),
    Case("then gzip", coded(b"Transfer-Encoding: chunked, gzip"), NOT_LAST, (BAD,)),
    Case("after gzip", coded(b"Transfer-Encoding: gzip, chunked"), UNKNOWN, (refuse(400, 501),)),
    Case("then a coding nobody knows", coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow"), NOT_LAST, (
        BAD,
    )),
    Case("after an empty line of it", coded(b"Transfer-Encoding:", b"Transfer-Encoding: chunked"), EMPTY_ELEMENT, (
        BAD, CHUNKED,
    )),
    Case("comma before", coded(b"Transfer-Encoding: , chunked"), EMPTY_ELEMENT, (BAD, CHUNKED)),
    Case("comma after", coded(b"Transfer-Encoding: chunked,"), EMPTY_ELEMENT, (BAD, CHUNKED)),
    # Other codings
    Case("identity", coded(b"Transfer-Encoding: identity"), NOT_LAST, (BAD,)),
    Case("gzip", coded(b"Transfer-Encoding: gzip"), NOT_LAST, (BAD,)),
    Case("xchunked", coded(b"Transfer-Encoding: xchunked"), NOT_LAST, (BAD,)),
    Case("chunkedx", coded(b"Transfer-Encoding: chunkedx"), NOT_LAST, (BAD,)),
    Case("x chunked", coded(b"Transfer-Encoding: x chunked"), NOT_LAST, (BAD,)),
    Case("chunked x", coded(b"Transfer-Encoding: chunked x"), NOT_LAST, (BAD,)),
    Case("chunked with a parameter", coded(b"Transfer-Encoding: chunked;q=1"),
        "RFC 9112 section 7.1: chunked has no parameters; their presence should be an error", (refuse(400, 501),)),
    Case("chunked; with none", coded(b"Transfer-Encoding: chunked;"), NOT_LAST, (refuse(400, 501),)),
    Case("quoted", coded(b'Transfer-Encoding: "chunked"'), NOT_LAST, (BAD,)),
    Case("in apostrophes", coded(b"Transfer-Encoding: 'chunked'"), NOT_LAST, (BAD,)),
    Case("empty", coded(b"Transfer-Encoding:", body=b""), NOT_LAST, (BAD,)),
    Case("colon doubled", coded(b"Transfer-Encoding: : chunked"), NOT_LAST, (BAD,)),
    # Characters inside
    Case("vertical tab before", coded(b"Transfer-Encoding: \x0bchunked"), CONTROL, (BAD,)),
    Case("form feed before", coded(b"Transfer-Encoding: \x0cchunked"), CONTROL, (BAD,)),
    Case("vertical tab after", coded(b"Transfer-Encoding: chunked\x0b"), CONTROL, (BAD,)),
    Case("NUL after", coded(b"Transfer-Encoding: chunked\x00"), CONTROL, (BAD,)),
    Case("backspace after", coded(b"Transfer-Encoding: chunkedx\x08"), CONTROL, (BAD,)),
    Case("no-break space before", coded(b"Transfer-Encoding: \xa0chunked"), NOT_LAST, (BAD,)),
    Case("high byte after", coded(b"Transfer-Encoding: chunked\xff"), NOT_LAST, (BAD,)),
    Case("Kelvin sign for the k", coded("Transfer-Encoding: chun\u212aed".encode()), NOT_LAST, (BAD,)),
    # The name
    Case("space before the colon", coded(b"Transfer-Encoding : chunked"), NAME, (BAD,)),
    Case("tab before the colon", coded(b"Transfer-Encoding\t: chunked"), NAME, (BAD,)),
    Case("space before the colon, beside a length", coded(b"Content-Length: 15", b"Transfer-Encoding : chunked"), NAME,
        (BAD,)),
    Case("vertical tab before the colon", coded(b"Transfer-Encoding\x0b: chunked"), TOKEN, (BAD,)),
    Case("NUL before the colon", coded(b"Transfer-Encoding\x00: chunked"), TOKEN, (BAD,)),
    Case("high byte before the name", coded(b"\xffTransfer-Encoding: chunked"), TOKEN, (BAD,)),
    Case("space inside the name", coded(b"Transfer- Encoding: chunked"), TOKEN, (BAD,)),
    Case("space for the colon", coded(b"Transfer-Encoding chunked"), TOKEN, (BAD,)),
    Case("underscore in the name", coded(b"Transfer_Encoding: chunked", body=b""), FOLDED_NAME, (
        serve(Want(b"POST", b"/", fields={b"transfer_encoding": None})),
    )),
    Case("underscore in the name, beside a length", coded(b"Content-Length: 15", b"Transfer_Encoding: chunked"),
        FOLDED_NAME, (serve(Want(b"POST", b"/", BODY, fields={b"transfer_encoding": None})),)),
    Case("Content-Transfer-Encoding", coded(b"Content-Transfer-Encoding: chunked", body=b""), OTHER_NAME, (EMPTY,)),
    Case("TE for Transfer-Encoding", coded(b"TE: chunked", body=b""), OTHER_NAME, (
        serve(Want(b"POST", b"/", fields={b"te": None, b"transfer-encoding": None})),
    )),
    # Lines
    Case("folded value", coded(b"Transfer-Encoding:", b" chunked"), FOLDED, (BAD, CHUNKED)),
    Case("folded with a tab", coded(b"Transfer-Encoding:", b"\tchunked"), FOLDED, (BAD, CHUNKED)),
    Case("folded into another coding", coded(b"Transfer-Encoding: chunked", b" , identity"), FOLDED, (BAD,)),
    Case("hidden in another's fold", coded(b"A: b", b" Transfer-Encoding: chunked", body=b""), FOLDED, (BAD, EMPTY)),
    Case("hidden behind LF", coded(b"A: b\nTransfer-Encoding: chunked"), ONE_LF, (BAD, CHUNKED)),
    Case("hidden behind LF, beside a length", coded(b"Content-Length: 15", b"A: b\nTransfer-Encoding: chunked"),
        ONE_LF, (BAD, CHUNKED_THEN_CLOSED)),
    Case("hidden behind CR", coded(b"A: b\rTransfer-Encoding: chunked", body=b""), ONE_CR, (BAD, EMPTY)),
    Case("followed by CR", coded(b"Transfer-Encoding: chunked\r"), ONE_CR, (BAD, CHUNKED)),
    Case("hidden behind NUL", coded(b"A: b\x00Transfer-Encoding: chunked", body=b""), CONTROL, (BAD, EMPTY)),
    # HTTP/1.0
    Case("in HTTP/1.0", coded(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"), OLD, (BAD, CHUNKED_THEN_CLOSED)),
    Case("in HTTP/1.0 that stays", coded(b"Connection: keep-alive", b"Transfer-Encoding: chunked",
        version=b"HTTP/1.0"), OLD, (BAD, CHUNKED_THEN_CLOSED)),
    Case("in HTTP/1.0, beside a length", coded(b"Content-Length: 15", b"Transfer-Encoding: chunked",
        version=b"HTTP/1.0"), OLD, (BAD, CHUNKED_THEN_CLOSED)),
    Case("identity in HTTP/1.0", coded(b"Transfer-Encoding: identity", version=b"HTTP/1.0"), OLD, (BAD,)),
]  # fmt: skip
