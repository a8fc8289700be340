"""Content-Length: what is a length, and what only some readers take for one."""

from benchmarks.smuggling.case import BAD, UNFINISHED, Case, Want, lines, refuse, serve

INVALID = "RFC 9112 section 6.3: an invalid Content-Length is an unrecoverable error; 400, then close"
REPEATED = "RFC 9112 section 6.3: the same valid length repeated may be taken for one, or refused"
VALID = "RFC 9110 section 8.6: Content-Length = 1*DIGIT, in optional whitespace; the body has that length"
LARGE = "RFC 9110 section 8.6: large numerals must not overflow; refused as invalid or as too large"
OTHER_NAME = "RFC 9110 section 5.1: this is another field, which frames nothing"
FOLDED_NAME = (
    "RFC 9110 section 5.1: this is another field, which frames nothing; for backends that make variables of names "
    "(RFC 3875 section 4.1.18) it is the same, so they must not get it"
)

HELLO = serve(Want(b"POST", b"/", b"hello"))
EMPTY = serve(Want(b"POST", b"/"))


def measured(*fields: bytes, body: bytes = b"hello") -> bytes:
    """A POST with these header lines."""
    return lines(b"POST / HTTP/1.1", b"Host: a.example", *fields, b"", body)


CASES = [
    Case("plain", measured(b"Content-Length: 5"), VALID, (HELLO,)),
    Case("no space", measured(b"Content-Length:5"), VALID, (HELLO,)),
    Case("spaces around", measured(b"Content-Length:  5  "), VALID, (HELLO,)),
    Case("tabs around", measured(b"Content-Length:\t5\t"), VALID, (HELLO,)),
    Case("any case", measured(b"cOnTeNt-LeNgTh: 5"), VALID, (HELLO,)),
    Case("leading zeros", measured(b"Content-Length: 0005"), VALID, (HELLO,)),
    Case("leading zeros, as if octal", measured(b"Content-Length: 010", body=b"0123456789"), VALID, (
        serve(Want(b"POST", b"/", b"0123456789")),
    )),
    Case("zero", measured(b"Content-Length: 0", body=b""), VALID, (EMPTY,)),
    Case("many zeros", measured(b"Content-Length: 000000", body=b""), VALID, (EMPTY,)),
    Case("plus sign", measured(b"Content-Length: +5"), INVALID, (BAD,)),
    Case("minus sign", measured(b"Content-Length: -5"), INVALID, (BAD,)),
    Case("minus one", measured(b"Content-Length: -1"), INVALID, (BAD,)),
    Case("minus zero", measured(b"Content-Length: -0", body=b""), INVALID, (BAD,)),
    Case("hexadecimal with prefix", measured(b"Content-Length: 0x5"), INVALID, (BAD,)),
    Case("hexadecimal digit", measured(b"Content-Length: a", body=b"0123456789"), INVALID, (BAD,)),
    Case("underscore", measured(b"Content-Length: 1_0", body=b"0123456789"), INVALID, (BAD,)),
    Case("fraction", measured(b"Content-Length: 5.0"), INVALID, (BAD,)),
    Case("exponent", measured(b"Content-Length: 5e0"), INVALID, (BAD,)),
    Case("quoted", measured(b'Content-Length: "5"'), INVALID, (BAD,)),
    Case("semicolon after", measured(b"Content-Length: 5;"), INVALID, (BAD,)),
    Case("space inside", measured(b"Content-Length: 1 0", body=b"0123456789"), INVALID, (BAD,)),
    Case("text after", measured(b"Content-Length: 5 bytes"), INVALID, (BAD,)),
    Case("empty", measured(b"Content-Length:"), INVALID, (BAD,)),
    Case("blank", measured(b"Content-Length: \t"), INVALID, (BAD,)),
    Case("empty on a GET", lines(b"GET / HTTP/1.1", b"Host: a", b"Content-Length:", b"", b""), INVALID, (BAD,)),
    Case("comma only", measured(b"Content-Length: ,"), INVALID, (BAD,)),
    Case("fullwidth digit", measured("Content-Length: ５".encode()), INVALID, (BAD,)),
    Case("Arabic-Indic digit", measured("Content-Length: ٥".encode()), INVALID, (BAD,)),
    Case("superscript digit in Latin-1", measured(b"Content-Length: \xb2"), INVALID, (BAD,)),
    Case("no-break space before", measured(b"Content-Length: \xa05"), INVALID, (BAD,)),
    Case("vertical tab before", measured(b"Content-Length: \x0b5"), INVALID, (BAD,)),
    Case("form feed after", measured(b"Content-Length: 5\x0c"), INVALID, (BAD,)),
    Case("NUL after", measured(b"Content-Length: 5\x00"), INVALID, (BAD,)),
    Case("twice the same", measured(b"Content-Length: 5", b"Content-Length: 5"), REPEATED, (BAD, HELLO)),
    Case("twice the same, as a list", measured(b"Content-Length: 5, 5"), REPEATED, (BAD, HELLO)),
    Case("twice the same, as a list without space", measured(b"Content-Length: 5,5"), REPEATED, (BAD, HELLO)),
    Case("twice, different", measured(b"Content-Length: 5", b"Content-Length: 6"), INVALID, (BAD,)),
    Case("twice, different, shorter last", measured(b"Content-Length: 6", b"Content-Length: 5"), INVALID, (BAD,)),
    Case("twice, different case of the name", measured(b"Content-Length: 5", b"content-length: 0"), INVALID, (BAD,)),
    Case("twice, different, as a list", measured(b"Content-Length: 5,6"), INVALID, (BAD,)),
    Case("twice, one empty", measured(b"Content-Length: 5", b"Content-Length:"), INVALID, (BAD,)),
    Case("twice, others between", measured(b"Content-Length: 5", b"A: b", b"Content-Length: 0"), INVALID, (BAD,)),
    Case("three of them", measured(*[b"Content-Length: 5"] * 3), REPEATED, (BAD, HELLO)),
    Case("2^64", measured(b"Content-Length: 18446744073709551616"), LARGE, (refuse(400, 413),)),
    Case("2^64 + 5", measured(b"Content-Length: 18446744073709551621"), LARGE, (refuse(400, 413),)),
    Case("2^63", measured(b"Content-Length: 9223372036854775808"), LARGE, (refuse(400, 413),)),
    Case("2^32 + 5", measured(b"Content-Length: 4294967301"), LARGE, (refuse(400, 413),)),
    Case("a thousand digits", measured(b"Content-Length: " + b"9" * 1000), LARGE, (refuse(400, 413),)),
    Case("five thousand zeros before", measured(b"Content-Length: " + b"0" * 5000 + b"5"), LARGE, (
        refuse(400, 413, 431),
        HELLO,
    )),
    Case("folded value", measured(b"Content-Length:", b" 5"),
        "RFC 9112 section 5.2: obs-fold is refused or read as spaces", (BAD, HELLO)),
    Case("folded into another number", measured(b"Content-Length: 5", b" 0"),
        "RFC 9112 section 5.2: obs-fold is refused or read as spaces, which leave no valid length", (BAD,)),
    Case("underscore in the name", measured(b"Content_Length: 5", body=b""), FOLDED_NAME, (
        serve(Want(b"POST", b"/", fields={b"content_length": None})),
    )),
    Case("underscore in a second name", measured(b"Content-Length: 5", b"Content_Length: 0"), FOLDED_NAME, (
        serve(Want(b"POST", b"/", b"hello", fields={b"content_length": None})),
    )),
    Case("dot in the name", measured(b"Content.Length: 5", body=b""), FOLDED_NAME, (
        serve(Want(b"POST", b"/", fields={b"content.length": None})),
    )),
    Case("prefix in the name", measured(b"X-Content-Length: 5", body=b""), OTHER_NAME, (EMPTY,)),
    Case("suffix in the name", measured(b"Content-Lengths: 5", body=b""), OTHER_NAME, (EMPTY,)),
    Case("longer than the body", measured(b"Content-Length: 500"),
        "RFC 9112 section 8: the request is incomplete until its body has come", (UNFINISHED,)),
]  # fmt: skip
