from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from smartlb.http2.floods import FloodGuard
from smartlb.http2.frames import FrameCount
from smartlb.limits.allowance import Allowance

FRAMES: dict[str, tuple[Frame | bytes, str]] = {
    "data": (DataFrame(1, b"x" * 5), "data"),
    "much data": (DataFrame(1, b"x" * 300), "worthwhile data"),
    "no data": (DataFrame(1), "data"),
    "the end": (DataFrame(1, flags=["END_STREAM"]), "worthwhile data"),
    "headers": (HeadersFrame(1, b"x", flags=["END_HEADERS"]), "sections"),
    "part of headers": (HeadersFrame(1, b"x"), ""),
    "more headers": (ContinuationFrame(1, b""), ""),
    "last headers": (ContinuationFrame(1, b"x", flags=["END_HEADERS"]), "sections"),
    "ping": (PingFrame(0), "control"),
    "settings": (SettingsFrame(0), "control"),
    "priority": (PriorityFrame(1), "control"),
    "unknown": (b"\0\0\3\xfe\0\0\0\0\1abc", "control"),
    "reset": (RstStreamFrame(1), ""),
    "update": (WindowUpdateFrame(1, window_increment=5), "updates"),
}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PER_S = 1.0
AT_ONCE = 10


def frame(name: str) -> bytes:
    found = FRAMES[name][0]
    return found if isinstance(found, bytes) else found.serialize()


def counts(count: FrameCount) -> dict[str, int]:
    return {name: getattr(count, name) for name in ("control", "data", "sections", "updates", "worthwhile")}


@given(st.lists(st.sampled_from(sorted(FRAMES)), max_size=12), st.booleans(), st.lists(st.integers(1, 40)))
def test_frames_are_counted_whatever_pieces_they_come_in(names: list[str], preface: bool, sizes: list[int]) -> None:
    data = PREFACE * preface + b"".join(frame(name) for name in names)
    expected = dict.fromkeys(counts(FrameCount(False)), 0)
    for name in names:
        for counted in FRAMES[name][1].split():
            expected[counted] += 1
    count = FrameCount(preface)
    for size in sizes:
        count.feed(data[:size])
        data = data[size:]
    count.feed(data)
    count.feed(b"")
    assert counts(count) == expected


def test_a_frame_counts_once_it_is_complete() -> None:
    count = FrameCount(False)
    data = frame("much data")
    count.feed(data[:-1])
    assert counts(count)["data"] == 0
    count.feed(data[-1:])
    assert counts(count)["data"] == 1


def guard() -> FloodGuard:
    watch = FloodGuard(Allowance(PER_S), Allowance(PER_S), True)
    assert watch.receives(PREFACE, 0.0)
    return watch


def received(watch: FloodGuard, *frames: Frame) -> bool:
    return watch.receives(b"".join(frame.serialize() for frame in frames), 0.0)


def test_control_frames_are_allowed_at_their_rate() -> None:
    watch = guard()
    assert received(watch, *[PingFrame(0)] * AT_ONCE)
    assert not received(watch, PingFrame(0))
    assert watch.receives(PingFrame(0).serialize(), 1.0)
    assert watch.reset(1.0), "resets are counted on their own"


def test_window_updates_are_earned_by_data() -> None:
    watch = guard()
    update = WindowUpdateFrame(0, window_increment=1)
    watch.sent(DataFrame(1, b"x" * 256).serialize() + DataFrame(1, b"x" * 255).serialize())
    assert received(watch, *[update] * 10)
    assert received(watch, *[update] * AT_ONCE), "as control frames"
    assert not received(watch, update)
    for _ in range(200):
        watch.sent(DataFrame(1, flags=["END_STREAM"]).serialize())
    assert received(watch, *[update] * 1_010)
    assert not received(watch, update), "not all are kept"


def test_frames_of_which_nothing_comes_are_control_frames() -> None:
    watch = guard()
    for _ in range(3 * AT_ONCE):
        assert received(watch, DataFrame(1, b"x"))
        watch.heard()
        assert watch.received(0.0)
    for _ in range(AT_ONCE):
        assert received(watch, DataFrame(1, b"x"))
        assert watch.received(0.0)
    assert received(watch, HeadersFrame(1, b"x", flags=["END_HEADERS"]))
    assert not watch.received(0.0)
