"""Methods: tokens that nobody knows, and what is no token."""

from benchmarks.smuggling.case import BAD, Case, Want, lines, refuse, serve

UNKNOWN = "RFC 9110 section 9.1: a method that is not known should get 501; a gateway may pass it on"
CASE = "RFC 9110 section 9.1: methods are case-sensitive, so this is one that nobody knows"
TOKEN = "RFC 9110 section 9.1: a method is a token; 400"
TRACE = "RFC 9110 section 9.3.8: TRACE may be served or refused"


def called(method: bytes) -> bytes:
    """A request with this method."""
    return lines(method + b" / HTTP/1.1", b"Host: a.example", b"", b"")


CASES = [
    *(
        Case(method.decode(), called(method), "RFC 9110 section 9.1: a method that is known", (
            serve(Want(method, b"/")), refuse(405, 501),
        ))
        for method in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD", b"M-SEARCH", b"PROPFIND")
    ),
    Case("TRACE", called(b"TRACE"), TRACE, (serve(Want(b"TRACE", b"/")), refuse(405, 501)), may_be_declined=True),
    Case("unknown", called(b"FETCH"), UNKNOWN, (refuse(400, 405, 501), serve(Want(b"FETCH", b"/")))),
    Case("a known one and a letter", called(b"GETS"), UNKNOWN, (refuse(400, 405, 501), serve(Want(b"GETS", b"/")))),
    Case("the beginning of a known one", called(b"GE"), UNKNOWN, (refuse(400, 405, 501), serve(Want(b"GE", b"/")))),
    Case("two known ones", called(b"GETGET"), UNKNOWN, (refuse(400, 405, 501), serve(Want(b"GETGET", b"/")))),
    Case("characters of a token", called(b"G!#$%&'*+.^_`|~T"), UNKNOWN, (
        refuse(400, 405, 501), serve(Want(b"G!#$%&'*+.^_`|~T", b"/")),
    )),
    Case("a digit", called(b"GET2"), UNKNOWN, (refuse(400, 405, 501), serve(Want(b"GET2", b"/")))),
    Case("a thousand letters", called(b"A" * 1000), UNKNOWN, (
        refuse(400, 405, 414, 431, 501), serve(Want(b"A" * 1000, b"/")),
    )),
    Case("small letters", called(b"get"), CASE, (refuse(400, 405, 501), serve(Want(b"get", b"/")))),
    Case("mixed letters", called(b"Get"), CASE, (refuse(400, 405, 501), serve(Want(b"Get", b"/")))),
    Case("none", b"/ HTTP/1.1\r\nHost: a.example\r\n\r\n", TOKEN, (BAD,)),
    Case("a colon", called(b"GET:"), TOKEN, (BAD,)),
    Case("an at sign", called(b"G@T"), TOKEN, (BAD,)),
    Case("a bracket", called(b"G(T"), TOKEN, (BAD,)),
    Case("a slash", called(b"G/T"), TOKEN, (BAD,)),
    Case("a comma", called(b"GET,POST"), TOKEN, (BAD,)),
    Case("quoted", called(b'"GET"'), TOKEN, (BAD,)),
    Case("a control character", called(b"G\x01T"), TOKEN, (BAD,)),
    Case("beyond ASCII", called("GÉT".encode()), TOKEN, (BAD,)),
    Case("a byte order mark", called(b"\xff\xfeGET"), TOKEN, (BAD,)),
]  # fmt: skip
