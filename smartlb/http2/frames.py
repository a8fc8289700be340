# cython: annotation_typing=False
"""Frames counted by their headers alone (RFC 9113 section 4.1), whatever else becomes of them.

The library that reads frames says nothing of those that it passes over: unknown ones, PRIORITY, anything on a stream
that is over. A flood may be made of just these, so they are counted here.
"""

from typing import Final

_HEADER: Final = 9
_PREFACE: Final = 24
"""Bytes that a client sends before its first frame (RFC 9113 section 3.4)."""

_DATA: Final = 0x0
_HEADERS: Final = 0x1
_RST_STREAM: Final = 0x3
_WINDOW_UPDATE: Final = 0x8
_CONTINUATION: Final = 0x9
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4

_WORTHWHILE: Final = 256
"""Content from which on a DATA frame earns its receiver window updates. One that opens its window byte by byte would
have a frame for each."""


class FrameCount:
    """Follows what one end sends, and counts each frame when all of it has come.

    Args:
        preface: whether it begins with a client's preface.

    Attributes:
        data: DATA frames so far, like all that follow.
        sections: header sections, in one frame or several.
        updates: WINDOW_UPDATE frames.
        control: PING, SETTINGS, PRIORITY, GOAWAY and unknown frames: what carries no part of a message.
        worthwhile: DATA frames that bring something, or the end of a stream.
    """

    def __init__(self, preface: bool) -> None:
        self.control = self.data = self.sections = self.updates = self.worthwhile = 0
        self._left = _PREFACE if preface else 0  # bytes of the present frame that have not come yet
        self._kind = _RST_STREAM  # no frame yet: one that is not counted
        self._flags = 0
        self._length = 0
        self._begun = b""  # the beginning of a frame's header

    def feed(self, data: bytes) -> None:
        """Take in what comes next."""
        at = 0
        end = len(data)
        if self._begun:
            taken = min(_HEADER - len(self._begun), end)
            self._begun += data[:taken]
            if len(self._begun) < _HEADER:
                return
            self._header(self._begun, 0)
            self._begun = b""
            at = taken
            if self._left == 0:
                self._over()
        while at < end:
            if self._left > 0:
                taken = min(self._left, end - at)
                self._left -= taken
                at += taken
            elif end - at < _HEADER:
                self._begun = data[at:]
                return
            else:
                self._header(data, at)
                at += _HEADER
            if self._left == 0:
                self._over()

    def _header(self, data: bytes, at: int) -> None:
        self._length = self._left = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2]
        self._kind = data[at + 3]
        self._flags = data[at + 4]

    def _over(self) -> None:
        kind = self._kind
        if kind == _DATA:
            self.data += 1
            if self._length >= _WORTHWHILE or self._flags & _END_STREAM:
                self.worthwhile += 1
        elif kind in (_HEADERS, _CONTINUATION):
            if self._flags & _END_HEADERS:
                self.sections += 1
        elif kind == _WINDOW_UPDATE:
            self.updates += 1
        elif kind != _RST_STREAM:
            self.control += 1
