"""Both ends of a connection in memory."""

import pytest
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, SettingsFrame

from smartlb.http2.codes import ErrorCode
from smartlb.http2.session import Hearer, Session, SessionBroken, StreamGone

Headers = tuple[tuple[bytes, bytes], ...]

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 4_096
STREAMS = 10
WINDOW = 131_072


class End(Hearer):
    """One end, and what it has heard."""

    def __init__(self, client: bool) -> None:
        self.session = Session(self, client, STREAMS, HEAD_BYTES)
        self.heard: list[tuple[object, ...]] = []
        self.takes = True

    def request(self, number: int, headers: Headers, complete: bool) -> None:
        self.heard.append(("request", number, headers, complete))

    def response(self, number: int, headers: Headers, complete: bool) -> None:
        self.heard.append(("response", number, headers, complete))

    def trailers(self, number: int, headers: Headers) -> None:
        self.heard.append(("trailers", number, headers))

    def data(self, number: int, content: bytes, last: bool) -> None:
        self.heard.append(("data", number, len(content), last))
        if self.takes:
            self.session.taken(number, len(content))

    def reset_by_peer(self, number: int, code: int) -> None:
        self.heard.append(("reset", number, code))

    def stream_closed(self, number: int, code: int) -> None:
        self.heard.append(("closed", number, code))

    def goes_away(self, last: int, code: int) -> None:
        self.heard.append(("goes away", last, code))

    def over(self, code: int, _reason: str) -> None:
        self.heard.append(("over", code))

    def take(self, data: bytes) -> bytes:
        """Take in bytes as a connection does; returns what is to be sent."""
        early = self.session.output() if self.session.receive(data) else b""
        self.session.report()
        late = self.session.output()
        self.session.report()
        return early + late

    def news(self) -> list[tuple[object, ...]]:
        heard, self.heard = self.heard, []
        return heard


class Pair:
    def __init__(self) -> None:
        self.client, self.server = End(True), End(False)
        self.move()

    def move(self) -> None:
        """Let both ends hear all that the other has to say."""
        to_server, to_client = self.client.session.output(), self.server.session.output()
        while to_server or to_client:
            to_server, to_client = self.client.take(to_client), self.server.take(to_server)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_request_and_its_answer(pair: Pair) -> None:
    client, server = pair.client.session, pair.server.session
    number = client.ask(REQUEST, False)
    client.send(number, b"hello", True)
    pair.move()
    assert pair.server.news() == [("request", 1, tuple(REQUEST), False), ("data", 1, 5, True)]
    server.answer_meanwhile(number, [(b":status", b"103")])
    server.answer(number, [(b":status", b"200")], False)
    server.send(number, b"abc", False)
    server.send_trailers(number, [(b"x", b"y")])
    pair.move()
    assert pair.server.news() == [("closed", 1, 0)]
    # That it is closed is said before the last piece.
    assert pair.client.news() == [
        ("response", 1, ((b":status", b"103"),), False),
        ("response", 1, ((b":status", b"200"),), False),
        ("data", 1, 3, False),
        ("closed", 1, 0),
        ("trailers", 1, ((b"x", b"y"),)),
    ]
    with pytest.raises(StreamGone):
        server.send(number, b"late", True)
    with pytest.raises(StreamGone):
        server.answer(number, [(b":status", b"200")], True)


def test_what_is_not_taken_closes_the_window_of_its_stream_alone(pair: Pair) -> None:
    client, server = pair.client.session, pair.server
    server.takes = False
    numbers = [client.ask(REQUEST, False) for _ in range(STREAMS)]
    for number in numbers[:-1]:
        client.send(number, bytes(WINDOW + 1), False)
    pair.move()
    assert [client.held(number) for number in numbers[:-1]] == [1] * (STREAMS - 1)
    client.send(numbers[-1], bytes(WINDOW), True)
    pair.move()
    assert client.held(numbers[-1]) == 0
    server.session.taken(numbers[0], WINDOW)
    pair.move()
    assert client.held(numbers[0]) == 0


def test_an_end_without_content_waits_for_a_window(pair: Pair) -> None:
    server, client = pair.server.session, pair.client
    client.takes = False
    number = client.session.ask(REQUEST, True)
    pair.move()
    server.answer(number, [(b":status", b"200")], False)
    server.send(number, bytes(WINDOW), False)
    pair.move()
    server.send(number, b"", True)
    pair.move()
    assert (server.held(number), server.window(number)) == (0, 0)
    assert ("closed", number, 0) not in pair.server.news()
    client.session.taken(number, WINDOW)
    pair.move()
    assert ("closed", number, 0) in pair.server.news()


def test_frames_that_are_broken_off_do_not_use_up_the_window(pair: Pair) -> None:
    """The library never reports what came of a frame whose stream was reset meanwhile."""
    encoder = Encoder()
    server = pair.server
    pair.client.session.output()
    numbers = range(1, 2 * 4_000, 2)
    for number in numbers:
        head = HeadersFrame(number, encoder.encode(REQUEST), flags=["END_HEADERS"]).serialize()
        frame = DataFrame(number, bytes(16_384)).serialize()
        server.take(head + frame[:9_000])
        server.session.reset(number, ErrorCode.CANCEL)
        server.take(frame[9_000:])
        server.news()
    head = HeadersFrame(9_001, encoder.encode(REQUEST), flags=["END_HEADERS"]).serialize()
    server.take(head + DataFrame(9_001, bytes(16_384)).serialize())
    assert ("data", 9_001, 16_384, False) in server.news()


@pytest.mark.parametrize("content", [b"12345", b"123456789012345"])
def test_nobody_hears_of_a_message_that_shows_to_have_another_length(pair: Pair, content: bytes) -> None:
    client = pair.client.session
    number = client.ask([*REQUEST, (b"content-length", b"10")], False)
    client.send(number, content, True)
    pair.move()
    assert pair.server.news() == [("closed", 1, ErrorCode.PROTOCOL_ERROR)]
    assert ("reset", 1, ErrorCode.PROTOCOL_ERROR) in pair.client.news()
    client.ask(REQUEST, True)
    pair.move()
    assert ("request", 3, tuple(REQUEST), True) in pair.server.news()


def test_the_end_is_announced_and_then_comes(pair: Pair) -> None:
    client, server = pair.client.session, pair.server.session
    number = client.ask(REQUEST, True)
    pair.move()
    server.announce_end()
    early = client.ask(REQUEST, True)  # before it hears of that
    pair.move()
    assert [heard[0] for heard in pair.server.news()] == ["request", "request"]
    assert not client.takes_requests
    with pytest.raises(StreamGone):
        client.ask(REQUEST, True)
    server.refuse_more()
    for each in (number, early):
        server.answer(each, [(b":status", b"200")], True)
    pair.move()
    assert [heard for heard in pair.client.news() if heard[0] in ("goes away", "over")] == [
        ("goes away", 2**31 - 1, 0),
        ("goes away", 3, 0),
        ("over", 0),
    ]
    assert pair.server.news()[-1] == ("over", 0)
    assert (server.output(), server.end(ErrorCode.NO_ERROR)) == (b"", b"")
    server.reset(1, ErrorCode.CANCEL)
    server.ping(b"12345678")
    assert server.window(1) == 0


def test_an_end_with_requests_under_way(pair: Pair) -> None:
    number = pair.client.session.ask(REQUEST, True)
    pair.move()
    pair.server.session.reset(number, ErrorCode.INTERNAL_ERROR)
    pair.client.take(pair.server.session.end(ErrorCode.ENHANCE_YOUR_CALM))
    assert pair.client.news() == [
        ("reset", 1, ErrorCode.INTERNAL_ERROR),
        ("closed", 1, ErrorCode.INTERNAL_ERROR),
        ("goes away", 1, ErrorCode.ENHANCE_YOUR_CALM),
        ("over", ErrorCode.ENHANCE_YOUR_CALM),
    ]


def fresh(*frames: Frame) -> bytes:
    return PREFACE + SettingsFrame(0).serialize() + b"".join(frame.serialize() for frame in frames)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
        (
            fresh(HeadersFrame(1, Encoder().encode([*REQUEST, (b"x", b"y" * HEAD_BYTES)]), flags=["END_HEADERS"])),
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        (
            fresh(HeadersFrame(1, Encoder().encode([*REQUEST, *[(b"x", b"y")] * 200]), flags=["END_HEADERS"])),
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        (fresh(HeadersFrame(1, b""), *[ContinuationFrame(1, b"")] * 65), ErrorCode.ENHANCE_YOUR_CALM),
    ],
    ids=["no preface", "a long head", "many fields", "many frames for a head"],
)
def test_what_the_library_cannot_go_on_from_ends_with_a_goaway(data: bytes, code: ErrorCode) -> None:
    server = End(False)
    with pytest.raises(SessionBroken) as broken:
        server.take(data)
    goaway, length = Frame.parse_frame_header(memoryview(broken.value.goaway[:9]))
    goaway.parse_body(memoryview(broken.value.goaway[9:]))
    assert length == 8
    assert (goaway.error_code, goaway.last_stream_id) == (code, 0)  # type: ignore[attr-defined]
    assert server.session.output() == b""


def test_a_frame_that_is_too_long_is_noticed_by_its_header() -> None:
    server = End(False)
    server.take(fresh())
    assert server.take((16_385).to_bytes(3, "big") + b"\0\0\0\0\0\1")
    assert server.news() == [("over", ErrorCode.FRAME_SIZE_ERROR)]


def test_headers_are_remembered_no_more_than_is_said() -> None:
    """The client allows more memory; the same long head twice takes as much both times."""
    server = End(False)
    server.take(PREFACE + SettingsFrame(0, settings={1: 2**20}).serialize())
    encoder = Encoder()
    sizes = []
    for number in (1, 3, 5):
        server.take(HeadersFrame(number, encoder.encode(REQUEST), flags=["END_HEADERS", "END_STREAM"]).serialize())
        server.session.answer(number, [(b":status", b"200"), (b"x", b"y" * 5_000)], True)
        sizes.append(len(server.session.output()))
    assert min(sizes) > 2_500
