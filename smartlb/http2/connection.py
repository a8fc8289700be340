# cython: annotation_typing=False
"""An HTTP/2 connection, to a client or to a backend: bytes in and out, its streams, and its end."""

import asyncio
import logging
from time import monotonic
from typing import Final, cast

from smartlb.http2.codes import ErrorCode
from smartlb.http2.floods import FloodGuard
from smartlb.http2.session import Session, SessionBroken
from smartlb.http2.stream import Carrier, Stream
from smartlb.wire.http2_heads import Malformed, trailers_from_http2

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 75.0
"""How long a peer may take to read what is left when the connection has ended."""

_FAREWELL_S: Final = 2.0
"""The same of a peer that has broken the protocol, or done too much."""

_WRONG_LENGTH: Final = "its body is not as long as its content-length says"

_BREACHES: Final = frozenset(
    (ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.STREAM_CLOSED, ErrorCode.FRAME_SIZE_ERROR)
)
"""Why this end resets a stream where the peer is to blame."""


class Connection(Carrier):
    """One connection and its streams.

    Args:
        client: whether it is to a backend.
        most_streams: that there may be at once.
        longest_head: bytes of a header section that the peer may send, 32 for each field included.
        guard: against floods.

    Attributes:
        streams: open ones, by number.
        write_paused: whether the peer takes what it is sent more slowly than it comes.
        closed: whether it takes no part in anything any more.
    """

    def __init__(self, client: bool, most_streams: int, longest_head: int, guard: FloodGuard) -> None:
        self.session = Session(self, client, most_streams, longest_head)
        self.streams: dict[int, Stream] = {}
        self.write_paused = False
        self.closed = False
        self._guard = guard
        self._sending: list[Stream] = []
        self._flushing = False
        self._loop = asyncio.get_running_loop()
        self._now_s = 0.0
        self._reset_number = 0  # of the stream that the peer has reset last
        self._peer_leaves = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = cast(asyncio.Transport, transport)
        self.flush()

    def connection_lost(self, _exc: Exception | None) -> None:
        """All that was under way is over."""
        self.closed = True
        for stream in list(self.streams.values()):
            stream.lost()

    def pause_writing(self) -> None:
        """The peer does not take what it is sent: send no more, and hear no more that would need an answer."""
        self.write_paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read on."""
        self.write_paused = False
        if not self.closed:
            self.transport.resume_reading()
            self.flush()

    def eof_received(self) -> None:
        """The peer sends no more, so the transport closes."""

    def data_received(self, data: bytes) -> None:
        """Take in frames."""
        if self.closed:
            return
        session, guard = self.session, self._guard
        self._now_s = monotonic()
        self._flushing = True  # at the end of this
        try:
            if not guard.receives(data, self._now_s):
                self.calm()
                return
            if session.receive(data) and not self.write_paused:
                self._put_out()
            session.report()
            if not self.closed and not guard.received(self._now_s):
                self.calm()
        except SessionBroken as error:
            self.broken(str(error), error.goaway)
        except Exception as error:
            self._failed(error)
        else:
            if not self.closed:
                self.flush()

    def _failed(self, error: Exception) -> None:
        log.error("internal error on an HTTP/2 connection", exc_info=error)
        self.end(ErrorCode.INTERNAL_ERROR)

    def broken(self, reason: str, goaway: bytes = b"") -> None:
        """The peer broke the protocol.

        Args:
            reason: how.
            goaway: what it is told, where it has not been told yet.
        """
        log.debug("an HTTP/2 connection ends: %s", reason)
        if goaway:
            self.transport.write(goaway)
        self._close(_FAREWELL_S)

    def calm(self) -> None:
        """The peer does too often what it may do now and then."""
        self.end(ErrorCode.ENHANCE_YOUR_CALM)

    def end(self, code: int) -> None:
        """Say why, and close; streams that are open are lost."""
        if not self.closed:
            self.closed = True
            try:
                self.transport.write(self.session.end(code))
            except SessionBroken as error:
                self.transport.write(error.goaway)
            self._close(_PATIENCE_S if code == ErrorCode.NO_ERROR else _FAREWELL_S)

    def _close(self, patience_s: float) -> None:
        self.closed = True
        self.transport.close()
        # Which waits until all has been sent; a peer that reads nothing would keep the connection for ever.
        self._loop.call_later(patience_s, self.transport.abort)
        for stream in list(self.streams.values()):
            stream.lost()

    # Sending

    def flush(self) -> None:
        """Send what is ready, as far as the peer takes it."""
        self._flushing = False
        if self.closed:
            return
        try:
            self._flush()
        except SessionBroken as error:
            self.broken(str(error), error.goaway)
        except Exception as error:
            self._failed(error)

    def _flush(self) -> None:
        if not self.write_paused:
            self._put_out()
            self.session.report()
        if self._sending:
            sending, self._sending = self._sending, []
            for stream in sending:
                if stream.flushed():
                    self._sending.append(stream)

    def _put_out(self) -> None:
        data = self.session.output()
        if data:
            self._guard.sent(data)
            self.transport.write(data)

    def flush_soon(self) -> None:
        """Send what is ready, together with what other streams have until then."""
        if not self._flushing and not self.closed:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def to_send(self, stream: Stream) -> None:
        """A stream has something to send."""
        if not self._sending or self._sending[-1] is not stream:
            self._sending.append(stream)
        self.flush_soon()

    def reset(self, number: int, code: int) -> None:
        """End a stream on the peer's side too."""
        if not self.closed:
            self.session.reset(number, code)
            self.flush_soon()

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.number, None)

    # Receiving

    def data(self, number: int, content: bytes, last: bool) -> None:
        """Content has come; see `Hearer`, like all that follow."""
        if self.closed:
            return
        self._guard.heard()
        if not content and not last and not self._guard.empty_data(self._now_s):
            self.calm()
            return
        stream = self.streams.get(number)
        if stream is None:
            self.session.taken(number, len(content))
            return
        if content and not stream.deliver_body(content):
            self.session.taken(number, len(content))
            self.malformed(number, _WRONG_LENGTH)
        elif last and not stream.deliver_end(b""):
            self.malformed(number, _WRONG_LENGTH)

    def trailers(self, number: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """The end of a message."""
        self._guard.heard()
        stream = self.streams.get(number)
        if stream is None:
            return
        try:
            if not stream.deliver_end(trailers_from_http2(headers)):
                self.malformed(number, _WRONG_LENGTH)
        except Malformed as error:
            self.malformed(number, str(error))

    def reset_by_peer(self, number: int, code: int) -> None:  # noqa: ARG002
        """A stream is over before its end."""
        self._reset_number = number
        stream = self.streams.get(number)
        if stream is not None:
            stream.lost()
        if not self.closed and not self._guard.reset(self._now_s):
            self.calm()

    def stream_closed(self, number: int, code: int) -> None:
        """Nothing more comes on a stream."""
        stream = self.streams.get(number)
        if code == 0 or number == self._reset_number:
            if stream is not None:
                stream.closed()
            return
        if stream is not None:
            stream.lost()
        if code in _BREACHES and not self.closed:
            self.breached()

    def malformed(self, number: int, reason: str) -> None:
        """A message breaks the protocol where the session does not see it: end its stream."""
        log.debug("an HTTP/2 stream is malformed: %s", reason)
        self.reset(number, ErrorCode.PROTOCOL_ERROR)
        stream = self.streams.get(number)
        if stream is not None:
            stream.lost()

    def breached(self) -> None:
        """A stream has been reset as the peer broke the protocol on it; the connection ends if that happens often."""
        if not self._guard.reset(self._now_s):
            self.calm()

    def goes_away(self, last: int, code: int) -> None:  # noqa: ARG002
        """The peer opens no more streams, or takes no more."""
        self._peer_leaves = True

    def over(self, code: int, reason: str) -> None:
        """The session has ended."""
        if self.closed:
            return
        if code == 0 or self._peer_leaves:
            self._close(_PATIENCE_S)
        else:
            self.broken(reason)
