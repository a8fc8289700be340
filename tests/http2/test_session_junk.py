"""Whatever frames come, in whatever pieces: the session goes on or ends, and what it reports makes sense."""

from contextlib import suppress

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from smartlb.http2.session import SessionBroken
from tests.http2.test_session import PREFACE, REQUEST, End

NUMBERS = st.sampled_from([1, 3, 5, 7, 2])
ENCODED = Encoder().encode(REQUEST, huffman=False)
LENGTH = Encoder().encode([*REQUEST, (b"content-length", b"3")], huffman=False)
TRAILERS = Encoder().encode([(b"x-end", b"1")], huffman=False)
HEADS = st.sampled_from([ENCODED, LENGTH, TRAILERS, b"", b"\xff"])
END = st.sampled_from([[], ["END_STREAM"]])
HEADERS_END = st.sampled_from([["END_HEADERS"], ["END_HEADERS", "END_STREAM"], []])

FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(lambda number, head, flags: HeadersFrame(number, head, flags=flags), NUMBERS, HEADS, HEADERS_END),
    st.builds(lambda number, flags: HeadersFrame(number, ENCODED, flags=["END_HEADERS", *flags]), NUMBERS, END),
    st.builds(lambda number, size, flags: DataFrame(number, bytes(size), flags=flags), NUMBERS, st.integers(0, 5), END),
    st.builds(lambda number: RstStreamFrame(number, error_code=8), NUMBERS),
    st.builds(lambda number: ContinuationFrame(number, b"", flags=["END_HEADERS"]), NUMBERS),
    st.builds(lambda number: WindowUpdateFrame(number, window_increment=100), NUMBERS),
    st.just(SettingsFrame(0, settings={4: 0})),
    st.just(PingFrame(0)),
    st.just(GoAwayFrame(0)),
)


@given(st.lists(FRAMES, max_size=15), st.binary(max_size=12), st.integers(1, 40))
def test_junk(frames: list[Frame], rest: bytes, size: int) -> None:
    server = End(False)
    data = PREFACE + SettingsFrame(0).serialize() + b"".join(frame.serialize() for frame in frames) + rest
    with suppress(SessionBroken):
        for at in range(0, len(data), size):
            server.take(data[at : at + size])
    begun: set[object] = set()
    over: set[object] = set()
    for kind, number, *details in server.news():
        if kind == "request":
            assert number not in begun
            begun.add(number)
        elif kind in ("data", "trailers"):
            # The last piece comes after the news that its stream is closed.
            assert number in begun
            assert number not in over or details[-1]
        elif kind == "closed":
            assert number not in over
            over.add(number)
    assert server.session.end(0) is not None
