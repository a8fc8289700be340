"""Requests in HTTP/2 that must not become others in HTTP/1.1: what RFC 9113 demands, and what a backend sees.

Frames are made without h2, which would not send most of these. Each case is stream 1 of a connection of its own, and
a plain request is stream 3: a malformed request is a stream error (section 8.1.1), which may be treated as a connection
error (section 5.4), or is answered with an error. In no case may the backend see it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from benchmarks.smuggling.backends import Record, Recorder
from benchmarks.smuggling.case import PROBE_TARGET, Want

Field = tuple[bytes, bytes]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LONGEST_S: Final = 10.0
_AT_ONCE: Final = 24
_FIRST_CLIENT: Final = IPv4Address("127.3.0.1")
"""Every case has a loopback address of its own, by which the backend's records tell whose they are."""

_CASE, _PROBE = 1, 3


@dataclass(frozen=True, slots=True)
class Http2Case:
    """One request.

    Attributes:
        name: unique.
        rule: what RFC 9113 demands, with the section.
        headers: as they are sent, pseudo-headers included.
        data: a DATA frame each.
        trailers: sent after them, if there are any.
        want: what the backend must see; None where it must see nothing.
    """

    name: str
    rule: str
    headers: Sequence[Field]
    data: Sequence[bytes] = ()
    trailers: Sequence[Field] = ()
    want: Want | None = None


@dataclass(slots=True)
class Answer:
    """What came back.

    Attributes:
        statuses: of final responses, by stream.
        ended, reset: streams that are over, and streams that were reset.
        closed: whether the connection ended, with GOAWAY or without.
        stalled: whether it neither ended nor went on.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    reset: set[int] = field(default_factory=set)
    closed: bool = False
    stalled: bool = False

    def over(self, stream: int) -> bool:
        """Whether nothing more is to come on a stream."""
        return self.closed or stream in self.ended or stream in self.reset


@dataclass(frozen=True, slots=True)
class Http2Result:
    """What became of a case.

    Attributes:
        case: which.
        answer: what the client got.
        seen: what the backend saw from this client, the probe left out.
        problem: what is not as demanded; empty where all is.
    """

    case: Http2Case
    answer: Answer
    seen: Sequence[Record]
    problem: str

    def as_json(self) -> dict[str, Any]:
        """One object of the report."""
        return {
            "case": self.case.name,
            "rule": self.case.rule,
            "sent": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.case.headers],
            "status": self.answer.statuses.get(_CASE),
            "reset": _CASE in self.answer.reset,
            "closed": self.answer.closed,
            "seen": [f"{record.method!r} {record.target!r} {record.body!r}" for record in self.seen],
            "problem": self.problem,
        }


def _head(*more: Field, method: bytes = b"GET", path: bytes = b"/a", authority: bytes = b"a.example") -> list[Field]:
    return [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path), *more]


def _without(name: bytes) -> list[Field]:
    return [one for one in _head() if one[0] != name]


_FIELDS = "RFC 9113 section 8.2.1: a field name or value with characters that it must not have is malformed"
_CONNECTION = "RFC 9113 section 8.2.2: connection-specific header fields make a message malformed"
_PSEUDO = "RFC 9113 section 8.3: pseudo-headers are those that are defined, once, before all others"
_REQUEST = "RFC 9113 section 8.3.1: a request has exactly one valid :method, :scheme and :path"
_AUTHORITY = "RFC 9113 section 8.3.1: host and :authority must not differ, and have no user"
_LENGTH = "RFC 9113 section 8.1.1: content-length is the sum of the DATA frames"
_TRAILERS = "RFC 9113 section 8.1: trailers have no pseudo-headers, and are fields like others"
_INJECTED = b"x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"
_POST = {"method": b"POST"}

_VALUES: dict[str, list[Field]] = {
    "CRLF and a request in a value": _head((b"x-a", _INJECTED)),
    "CRLF and transfer-encoding in a value": _head((b"x-a", b"b\r\ntransfer-encoding: chunked"), **_POST),
    "CRLF and content-length in a value": _head((b"x-a", b"b\r\ncontent-length: 40"), **_POST),
    "LF in a value": _head((b"x-a", b"b\nx-c: d")),
    "CR in a value": _head((b"x-a", b"b\rx-c: d")),
    "NUL in a value": _head((b"x-a", b"b\0c")),
    "a space before a value": _head((b"x-a", b" b")),
    "a tab after a value": _head((b"x-a", b"b\t")),
    "CRLF in a name": _head((b"x-a\r\ntransfer-encoding", b"chunked"), **_POST),
    "CRLF and a request in a name": _head((b"x-a: " + _INJECTED, b"b")),
    "a colon in a name": _head((b"transfer-encoding: chunked", b"b"), **_POST),
    "a space after a name": _head((b"transfer-encoding ", b"chunked"), **_POST),
    "a NUL in a name": _head((b"x-a\0", b"b")),
    "a name in upper case": _head((b"X-A", b"b")),
    "transfer-encoding in upper case": _head((b"Transfer-Encoding", b"chunked"), **_POST),
    "an empty name": _head((b"", b"b")),
    "a name beyond ASCII": _head((b"x-\xff", b"b")),
}
_OF_CONNECTIONS: dict[str, list[Field]] = {
    "transfer-encoding: chunked": _head((b"transfer-encoding", b"chunked"), **_POST),
    "transfer-encoding beside content-length": _head(
        (b"content-length", b"0"), (b"transfer-encoding", b"chunked"), **_POST
    ),
    "connection: close": _head((b"connection", b"close")),
    "connection names a header": _head((b"connection", b"x-forwarded-for")),
    "keep-alive": _head((b"keep-alive", b"timeout=5")),
    "proxy-connection": _head((b"proxy-connection", b"keep-alive")),
    "upgrade: websocket": _head((b"upgrade", b"websocket")),
    "te: chunked": _head((b"te", b"chunked")),
    "te: trailers, chunked": _head((b"te", b"trailers, chunked")),
}
_PSEUDOS: dict[str, list[Field]] = {
    "two paths": _head((b":path", b"/b")),
    "two methods": [(b":method", b"POST"), *_head()],
    "two authorities": [(b":authority", b"b.example"), *_head()],
    "a path after the headers": [*_without(b":path"), (b"x-a", b"b"), (b":path", b"/a")],
    "an unknown one": [(b":smuggled", b"1"), *_head()],
    ":protocol without extended CONNECT": [(b":protocol", b"websocket"), *_head()],
    "a status": [(b":status", b"200"), *_head()],
}
_REQUESTS: dict[str, list[Field]] = {
    "no method": _without(b":method"),
    "no scheme": _without(b":scheme"),
    "no path": _without(b":path"),
    "an empty path": _head(path=b""),
    "a path without a slash": _head(path=b"a"),
    "a star for GET": _head(path=b"*"),
    "an absolute path": _head(path=b"http://b.example/"),
    "a request in the path": _head(path=b"/ HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled"),
    "a version in the path": _head(path=b"/a HTTP/1.1"),
    "a tab in the path": _head(path=b"/a\tb"),
    "a fragment in the path": _head(path=b"/a#b"),
    "a request line in the method": _head(method=b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\nGET"),
    "a space in the method": _head(method=b"GET /smuggled"),
    "an empty method": _head(method=b""),
    "CONNECT with a path": _head(method=b"CONNECT"),
}
_AUTHORITIES: dict[str, list[Field]] = {
    "another host": _head((b"host", b"b.example")),
    "the same host and another": _head((b"host", b"a.example"), (b"host", b"b.example")),
    "a user": _head(authority=b"b.example@a.example"),
    "a path": _head(authority=b"a.example/b"),
    "CRLF and a header": _head(authority=b"a.example\r\nx-a: b"),
    "a space": _head(authority=b"a.example b.example"),
    "neither of them": _without(b":authority"),
}
_LENGTHS: dict[str, tuple[list[Field], tuple[bytes, ...]]] = {
    "less data": (_head((b"content-length", b"10"), **_POST), (b"12345",)),
    "more data": (_head((b"content-length", b"2"), **_POST), (b"12345",)),
    "more data in a second frame": (_head((b"content-length", b"5"), **_POST), (b"12345", _INJECTED)),
    "data for zero": (_head((b"content-length", b"0"), **_POST), (b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n",)),
    "no data": (_head((b"content-length", b"5"), **_POST), ()),
    "two lengths": (_head((b"content-length", b"5"), (b"content-length", b"0"), **_POST), (b"12345",)),
    "a list": (_head((b"content-length", b"5, 5"), **_POST), (b"12345",)),
    "a sign": (_head((b"content-length", b"+5"), **_POST), (b"12345",)),
    "hexadecimal": (_head((b"content-length", b"0x5"), **_POST), (b"12345",)),
}
_LAST: dict[str, list[Field]] = {
    "a pseudo-header": [(b":path", b"/smuggled")],
    "CRLF and a request": [(b"x-a", _INJECTED)],
    "CRLF in a name": [(b"x-a\r\n\r\nGET /smuggled HTTP/1.1\r\nx", b"b")],
    "transfer-encoding": [(b"transfer-encoding", b"chunked")],
}
_COOKIES = {b"cookie": b"a=1; b=2"}
_CHUNKS = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"

CASES: Final[Sequence[Http2Case]] = (
    *(Http2Case(f"fields: {name}", _FIELDS, head) for name, head in _VALUES.items()),
    *(Http2Case(f"connection: {name}", _CONNECTION, head) for name, head in _OF_CONNECTIONS.items()),
    *(Http2Case(f"pseudo-headers: {name}", _PSEUDO, head) for name, head in _PSEUDOS.items()),
    *(Http2Case(f"request: {name}", _REQUEST, head) for name, head in _REQUESTS.items()),
    *(Http2Case(f"authority: {name}", _AUTHORITY, head) for name, head in _AUTHORITIES.items()),
    *(Http2Case(f"length: {name}", _LENGTH, head, data) for name, (head, data) in _LENGTHS.items()),
    *(Http2Case(f"trailers: {name}", _TRAILERS, _head(**_POST), (b"12345",), last) for name, last in _LAST.items()),
    # What is well-formed arrives as it is, whatever its body looks like.
    Http2Case("served: a plain request", _REQUEST, _head(), want=Want(b"GET", b"/a")),
    Http2Case("served: te: trailers", _CONNECTION, _head((b"te", b"trailers")), want=Want(b"GET", b"/a")),
    Http2Case(
        "served: host instead of :authority",
        _AUTHORITY,
        [*_without(b":authority"), (b"host", b"a.example")],
        want=Want(b"GET", b"/a", fields={b"host": b"a.example"}),
    ),
    Http2Case(
        "served: chunks as a body",
        "RFC 9113 section 8.1: DATA is the content, and chunked has no meaning",
        _head(**_POST),
        (_CHUNKS,),
        want=Want(b"POST", b"/a", _CHUNKS),
    ),
    Http2Case(
        "served: chunks as a body with its length",
        _LENGTH,
        _head((b"content-length", b"%d" % len(_CHUNKS)), **_POST),
        (_CHUNKS[:7], _CHUNKS[7:]),
        want=Want(b"POST", b"/a", _CHUNKS),
    ),
    Http2Case(
        "served: cookies in pieces",
        "RFC 9113 section 8.2.3: cookie fields are joined by '; ' before they go into HTTP/1.1",
        _head((b"cookie", b"a=1"), (b"x-a", b"b"), (b"cookie", b"b=2")),
        want=Want(b"GET", b"/a", fields=_COOKIES),
    ),
)


def _frames(case: Http2Case) -> bytes:
    encoder = Encoder()
    out = [_PREFACE, SettingsFrame(0).serialize()]

    def headers(stream: int, fields: Sequence[Field], *, last: bool) -> None:
        frame = HeadersFrame(stream, encoder.encode(fields, huffman=False), flags=["END_HEADERS"])
        if last:
            frame.flags.add("END_STREAM")
        out.append(frame.serialize())

    headers(_CASE, case.headers, last=not case.data and not case.trailers)
    for at, data in enumerate(case.data, 1):
        frame = DataFrame(_CASE, data)
        if at == len(case.data) and not case.trailers:
            frame.flags.add("END_STREAM")
        out.append(frame.serialize())
    if case.trailers:
        headers(_CASE, case.trailers, last=True)
    headers(_PROBE, _head(path=PROBE_TARGET), last=True)
    return b"".join(out)


async def _exchange(router: str, client: str, case: Http2Case) -> Answer:
    host, _, port = router.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(client, 0))
    answer, decoder = Answer(), Decoder()
    try:
        async with asyncio.timeout(_LONGEST_S):
            writer.write(_frames(case))
            while not (answer.over(_CASE) and answer.over(_PROBE)):
                frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
                frame.parse_body(memoryview(await reader.readexactly(length)))
                if isinstance(frame, HeadersFrame):
                    status = dict(decoder.decode(frame.data, raw=True)).get(b":status")
                    if status is not None:
                        answer.statuses[frame.stream_id] = int(status)
                elif isinstance(frame, RstStreamFrame):
                    answer.reset.add(frame.stream_id)
                elif isinstance(frame, GoAwayFrame):
                    answer.closed = True
                if "END_STREAM" in frame.flags:
                    answer.ended.add(frame.stream_id)
    except (ConnectionError, asyncio.IncompleteReadError):
        answer.closed = True
    except TimeoutError:
        answer.stalled = True
    finally:
        writer.transport.abort()
    return answer


def problem(case: Http2Case, answer: Answer, seen: Sequence[Record], probes: int) -> str:
    """What is not as demanded; `seen` leaves out the probes, of which the backend saw so many."""
    status = answer.statuses.get(_CASE)
    if answer.stalled:
        return f"it was left without an answer: {answer}"
    if not answer.closed and (probes, answer.statuses.get(_PROBE)) != (1, 200):
        return f"the request on the next stream was not served: {answer}"
    if probes > 1:
        return "the request on the next stream was seen more than once"
    if case.want is None:
        if seen:
            return f"the backend saw {list(seen)}"
        refused = answer.closed or _CASE in answer.reset or (status is not None and status >= 400)
        return "" if refused else f"it was not refused: {answer}"
    if len(seen) != 1 or status != 200:
        return f"it was not served once: {answer}, {list(seen)}"
    [one] = seen
    wrong = {name: one.value(name) for name, value in case.want.fields.items() if one.value(name) != value}
    if (one.method, one.target, one.body) != (case.want.method, case.want.target, case.want.body) or wrong:
        return f"the backend saw {one}"
    return ""


async def run_http2(router: str, recorder: Recorder, cases: Sequence[Http2Case] = CASES) -> list[Http2Result]:
    """Send each case on a connection of its own, many at once.

    Args:
        router: HOST:PORT.
        recorder: of the only backend that the router has; nobody else may use it meanwhile.
        cases: to be sent.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    first, refused = len(recorder.records), len(recorder.rejected)

    async def send(case: Http2Case, client: str) -> Answer:
        async with places:
            return await _exchange(router, client, case)

    clients = [str(_FIRST_CLIENT + at) for at in range(len(cases))]
    answers = await asyncio.gather(*map(send, cases, clients))
    results = []
    for case, client, answer in zip(cases, clients, answers, strict=True):
        mine = [record for record in recorder.records[first:] if record.client == client]
        seen = [record for record in mine if record.target != PROBE_TARGET]
        results.append(Http2Result(case, answer, seen, problem(case, answer, seen, len(mine) - len(seen))))
    # A request that nobody sent, or bytes that are none, cannot be told to come of one case.
    strays = [str(one) for one in recorder.records[first:] if one.client not in clients] + recorder.rejected[refused:]
    if strays and results:
        last = results[-1]
        results[-1] = Http2Result(last.case, last.answer, last.seen, f"the backend got what nobody sent: {strays}")
    return results
