"""The chunked coding: sizes, extensions, line ends and trailers."""

from benchmarks.smuggling.case import BAD, NO_ANSWER, Case, Want, lines, refuse, serve

SIZE = "RFC 9112 section 7.1: chunk-size = 1*HEXDIG, and nothing around it; a malformed chunk is an error"
ENDS = "RFC 9112 section 7.1: the size and the data of a chunk each end in CRLF"
LARGE = "RFC 9112 section 7.1: large sizes must not overflow; refused as invalid or as too large"
EXTENSION = "RFC 9112 section 7.1.1: extensions that are not known are ignored"
BAD_EXTENSION = "RFC 9112 section 7.1.1: this is no extension; refused, or ignored up to the CRLF"
CONTROL = "RFC 9110 section 5.5 and RFC 9112 section 7.1.1: CR, LF and NUL have no place in an extension"
LONG_EXTENSION = "RFC 9112 section 7.1.1: the length of extensions ought to be limited"
VALID = "RFC 9112 section 7.1: this is a valid chunked body"
TRAILERS = "RFC 9112 section 7.1.2: trailers end the body, and are not taken for headers"
BAD_TRAILER = "RFC 9112 sections 5 and 7.1.2: a trailer is a field line; this is none"

HELLO = serve(Want(b"POST", b"/", b"hello"))


def chunked(body: bytes) -> bytes:
    """A POST with this body, as it is."""
    return lines(b"POST / HTTP/1.1", b"Host: a.example", b"Transfer-Encoding: chunked", b"", body)


def sized(size: bytes) -> bytes:
    """A chunk with `hello` in it and this for its size."""
    return chunked(size + b"\r\nhello\r\n0\r\n\r\n")


def trailed(*trailers: bytes) -> bytes:
    """A chunked `hello` with these lines after it."""
    return chunked(lines(b"5", b"hello", b"0", *trailers, b"", b""))


CASES = [
    Case("two chunks", chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), VALID, (HELLO,)),
    Case("empty", chunked(b"0\r\n\r\n"), VALID, (serve(Want(b"POST", b"/")),)),
    Case("capital digits", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), VALID, (
        serve(Want(b"POST", b"/", b"0123456789")),
    )),
    Case("small digits", chunked(b"a\r\n0123456789\r\n0\r\n\r\n"), VALID, (serve(Want(b"POST", b"/", b"0123456789")),)),
    Case("decimal is hexadecimal", chunked(b"10\r\n0123456789abcdef\r\n0\r\n\r\n"), VALID, (
        serve(Want(b"POST", b"/", b"0123456789abcdef")),
    )),
    Case("leading zeros", sized(b"0005"), VALID, (HELLO,)),
    Case("twenty leading zeros", sized(b"0" * 20 + b"5"), LARGE, (BAD, HELLO)),
    Case("end of several zeros", chunked(b"5\r\nhello\r\n000\r\n\r\n"), VALID, (HELLO,)),
    Case("an end inside a chunk", chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"), VALID, (
        serve(Want(b"POST", b"/", b"0\r\n\r\n")),
    )),
    Case("a request inside a chunk", chunked(b"1c\r\nGET /s HTTP/1.1\r\nHost: s\r\n\r\n\r\n0\r\n\r\n"),
        VALID, (serve(Want(b"POST", b"/", b"GET /s HTTP/1.1\r\nHost: s\r\n\r\n")),)),
    # Sizes
    Case("prefix 0x", sized(b"0x5"), SIZE, (BAD,)),
    Case("prefix 0X", sized(b"0X5"), SIZE, (BAD,)),
    Case("plus sign", sized(b"+5"), SIZE, (BAD,)),
    Case("minus sign", sized(b"-5"), SIZE, (BAD,)),
    Case("underscore", sized(b"0_5"), SIZE, (BAD,)),
    Case("space before", sized(b" 5"), SIZE, (BAD,)),
    Case("tab before", sized(b"\t5"), SIZE, (BAD,)),
    Case("space after", sized(b"5 "), SIZE, (BAD,)),
    Case("tab after", sized(b"5\t"), SIZE, (BAD,)),
    Case("vertical tab after", sized(b"5\x0b"), SIZE, (BAD,)),
    Case("NUL after", sized(b"5\x00"), SIZE, (BAD,)),
    Case("letter after", sized(b"5g"), SIZE, (BAD,)),
    Case("comma after", sized(b"5,5"), SIZE, (BAD,)),
    Case("space inside", sized(b"0 5"), SIZE, (BAD,)),
    Case("none", sized(b""), SIZE, (BAD,)),
    Case("none, with an extension", sized(b";a=b"), SIZE, (BAD,)),
    Case("quoted", sized(b'"5"'), SIZE, (BAD,)),
    Case("fullwidth digit", sized("５".encode()), SIZE, (BAD,)),
    Case("fraction", sized(b"5.0"), SIZE, (BAD,)),
    Case("end of minus zero", chunked(b"5\r\nhello\r\n-0\r\n\r\n"), SIZE, (BAD,)),
    Case("end of 0x0", chunked(b"5\r\nhello\r\n0x0\r\n\r\n"), SIZE, (BAD,)),
    Case("2^64 + 5", sized(b"10000000000000005"), LARGE, (refuse(400, 413),)),
    Case("2^64 - 1", sized(b"ffffffffffffffff"), LARGE, (refuse(400, 413),)),
    Case("2^63 + 5", sized(b"8000000000000005"), LARGE, (refuse(400, 413),)),
    Case("2^32 + 5", sized(b"100000005"), LARGE, (refuse(NO_ANSWER, 400, 408, 413),), may_be_declined=True),
    Case("fifteen digits", sized(b"fffffffffffffff"), LARGE, (refuse(NO_ANSWER, 400, 408, 413),), may_be_declined=True),
    Case("two thousand digits", sized(b"5" * 2000), LARGE, (refuse(400, 413),)),
    # Line ends
    Case("LF after the size", chunked(b"5\nhello\r\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("CR after the size", chunked(b"5\rhello\r\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("CR CR LF after the size", chunked(b"5\r\r\nhello\r\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("nothing after the data", chunked(b"5\r\nhello0\r\n\r\n"), ENDS, (BAD,)),
    Case("LF after the data", chunked(b"5\r\nhello\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("CR after the data", chunked(b"5\r\nhello\r0\r\n\r\n"), ENDS, (BAD,)),
    Case("LF CR after the data", chunked(b"5\r\nhello\n\r0\r\n\r\n"), ENDS, (BAD,)),
    Case("two letters after the data", chunked(b"5\r\nhelloXX0\r\n\r\n"), ENDS, (BAD,)),
    Case("longer data than its size", chunked(b"3\r\nhello\r\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("shorter data than its size", chunked(b"7\r\nhello\r\n0\r\n\r\n"), ENDS, (BAD,)),
    Case("LF after the end's size", chunked(b"5\r\nhello\r\n0\n\r\n"), ENDS, (BAD,)),
    Case("LF after all", chunked(b"5\r\nhello\r\n0\r\n\n"), ENDS, (BAD,)),
    Case("CR after all", chunked(b"5\r\nhello\r\n0\r\n\r"), ENDS, (BAD,)),
    Case("two LF at the end", chunked(b"5\r\nhello\r\n0\n\n"), ENDS, (BAD,)),
    Case("no empty line", chunked(b"5\r\nhello\r\n0\r\n"), ENDS, (BAD,)),
    Case("no end", chunked(b"5\r\nhello\r\n"), SIZE, (BAD,)),
    Case("one more CRLF after all", chunked(b"5\r\nhello\r\n0\r\n\r\n\r\n"),
        "RFC 9112 section 2.2: an empty line before a request should be ignored", (HELLO,)),
    # Extensions
    Case("extension", sized(b"5;a"), EXTENSION, (HELLO,)),
    Case("extension with a value", sized(b"5;a=b;c=d"), EXTENSION, (HELLO,)),
    Case("extension with whitespace", sized(b"5 ; a = b"), EXTENSION, (HELLO,)),
    Case("extension with a quoted value", sized(b'5;a="b;c\\"d"'), EXTENSION, (HELLO,)),
    Case("extension at the end", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), EXTENSION, (HELLO,)),
    Case("extension without a name", sized(b"5;"), BAD_EXTENSION, (BAD, HELLO)),
    Case("extension of an open quote", sized(b'5;a="b'), BAD_EXTENSION, (BAD, HELLO)),
    Case("extension of high bytes", sized(b"5;\xff\xfe"), BAD_EXTENSION, (BAD, HELLO)),
    Case("LF in an extension", sized(b"5;a\nb"), CONTROL, (BAD,)),
    Case("LF, then a size, in an extension", chunked(b"2;\nxx\r\n4c\r\n0\r\n\r\nGET /s HTTP/1.1\r\n\r\n"), CONTROL, (
        BAD,
    )),
    Case("CR in an extension", sized(b"5;a\rb"), CONTROL, (BAD,)),
    Case("NUL in an extension", sized(b"5;a\x00b"), CONTROL, (BAD,)),
    Case("LF in a quoted extension", sized(b'5;a="\n"'), CONTROL, (BAD,)),
    Case("CRLF in a quoted extension", sized(b'5;a="\r\n"'), ENDS, (BAD,)),
    Case("CR at the end of an extension", sized(b"5;a\r"), CONTROL, (BAD,)),
    Case("extension of 4,000 bytes", sized(b"5;" + b"a" * 4000), LONG_EXTENSION, (refuse(400, 413, 431), HELLO)),
    Case("forty chunks of one byte and 600 of extension", chunked((b"1;" + b"a" * 600 + b"\r\nx\r\n") * 40
        + b"0\r\n\r\n"), LONG_EXTENSION, (refuse(400, 413, 431), serve(Want(b"POST", b"/", b"x" * 40)))),
    # Trailers
    Case("trailer", trailed(b"X-Sum: 1"), TRAILERS, (serve(Want(b"POST", b"/", b"hello", {b"x-sum": None})),)),
    Case("Content-Length among the trailers", trailed(b"Content-Length: 500"), TRAILERS, (
        BAD, HELLO,
    )),
    Case("Transfer-Encoding among the trailers", trailed(b"Transfer-Encoding: identity"), TRAILERS, (BAD, HELLO)),
    Case("Host among the trailers", trailed(b"Host: other.example"), TRAILERS, (
        BAD, serve(Want(b"POST", b"/", b"hello", {b"host": b"a.example"})),
    )),
    Case("X-Forwarded-For among the trailers", trailed(b"X-Forwarded-For: 192.0.2.1"), TRAILERS, (BAD, HELLO)),
    Case("trailer with a space before the colon", trailed(b"A : b"), BAD_TRAILER, (BAD,)),
    Case("trailer that is folded", trailed(b"A: b", b" c"),
        "RFC 9112 section 5.2: obs-fold is refused or read as spaces", (BAD, HELLO)),
    Case("trailer without a colon", trailed(b"A"), BAD_TRAILER, (BAD,)),
    Case("trailer without a name", trailed(b": b"), BAD_TRAILER, (BAD,)),
    Case("trailer with LF", trailed(b"A: b\nC: d"),
        "RFC 9112 section 2.2: LF alone may be taken for the end of a line, or be refused", (BAD, HELLO)),
    Case("trailer with CR", trailed(b"A: b\rC: d"),
        "RFC 9112 section 2.2: CR alone is refused or read as a space", (BAD, HELLO)),
    Case("trailer with NUL", trailed(b"A: \x00"), BAD_TRAILER, (BAD,)),
    Case("request for a trailer", trailed(b"GET /smuggled HTTP/1.1", b"Host: a.example"), BAD_TRAILER, (BAD,)),
    Case("trailers of 10,000 bytes", trailed(b"A: " + b"b" * 10_000),
        "RFC 9110 section 5.4: a server may limit the length of fields", (refuse(400, 413, 431), HELLO)),
]  # fmt: skip
