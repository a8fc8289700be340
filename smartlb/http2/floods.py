# cython: annotation_typing=False
"""How much a peer may send that costs more than it brings."""

from typing import Final

from smartlb.http2.frames import FrameCount
from smartlb.limits.allowance import Allowance

_UPDATES_EARNED: Final = 10
"""Window updates that a peer may send for each DATA frame that it gets; Envoy has as many
(`max_inbound_window_update_frames_per_data_frame_sent`)."""

_MOST_UPDATES: Final = 1_000
"""So many of them are kept for later."""


class FloodGuard:
    """Watches one peer.

    Args:
        control_frames: how many frames that carry no message it may send.
        resets: how many streams it may reset or break.
        client: whether it is a client, which begins with a preface.
    """

    def __init__(self, control_frames: Allowance, resets: Allowance, client: bool) -> None:
        self._control_frames = control_frames
        self._resets = resets
        self._in = FrameCount(client)
        self._out = FrameCount(not client)
        self._heard = 0  # DATA frames and header sections of which something came
        self._updates_earned = 0
        self._control_seen = self._updates_seen = self._unheeded_seen = self._worthwhile_seen = 0

    def sent(self, data: bytes) -> None:
        """Frames go to the peer, which may open its windows again for them."""
        self._out.feed(data)
        fresh = self._out.worthwhile - self._worthwhile_seen
        if fresh:
            self._worthwhile_seen = self._out.worthwhile
            self._updates_earned = min(self._updates_earned, _MOST_UPDATES) + _UPDATES_EARNED * fresh

    def heard(self) -> None:
        """A DATA frame or a header section has been understood."""
        self._heard += 1

    def receives(self, data: bytes, now_s: float) -> bool:
        """Whether frames that have come may be looked at; monotonic time, here and below."""
        self._in.feed(data)
        updates = self._in.updates - self._updates_seen
        self._updates_seen = self._in.updates
        excess = max(updates - self._updates_earned, 0)
        self._updates_earned -= updates - excess
        excess += self._in.control - self._control_seen
        self._control_seen = self._in.control
        return self._take(excess, now_s)

    def received(self, now_s: float) -> bool:
        """Whether the peer may go on, now that all that came has been looked at."""
        unheeded = self._in.data + self._in.sections - self._heard
        fresh = unheeded - self._unheeded_seen
        self._unheeded_seen = unheeded
        return self._take(fresh, now_s)

    def empty_data(self, now_s: float) -> bool:
        """Whether the peer may send a DATA frame that brings nothing."""
        return self._take(1, now_s)

    def reset(self, now_s: float) -> bool:
        """Whether the peer may reset or break a stream."""
        allowed: bool = self._resets.take(now_s)
        return allowed

    def _take(self, count: int, now_s: float) -> bool:
        while count > 0:
            if not self._control_frames.take(now_s):
                return False
            count -= 1
        return True
