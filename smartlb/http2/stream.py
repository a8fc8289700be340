"""One stream, which is to HTTP/1.1 on the router's side what a connection's transport is."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError

from smartlb.wire.chunked import ChunkedBody, chunk
from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE
from smartlb.wire.http2_heads import trailers_to_http2

if TYPE_CHECKING:
    from smartlb.http2.connection import Connection

_MOST_UNSENT: Final = 65_536
"""From so many bytes on that the peer's flow control holds back, no more are read from the other side."""

_FEW_UNSENT: Final = 16_384
"""Below so many it goes on."""

_OPEN_WINDOW: Final = 16_384
"""The peer's window is opened anew when so many bytes have been taken from it."""


class Stream(asyncio.Transport):
    """A transport over a stream: what is written to it is HTTP/1.1, what it delivers to its protocol too.

    Args:
        connection: whose stream it is.
        number: of the stream; 0 until it has one.

    Attributes:
        number: of the stream.
        protocol: a client's or a backend's connection, for one exchange.
        chunks: whether what is received is delivered as chunks.
        missing: bytes of the body that are yet to be received; None where it does not say how long it is.
        received: whether the peer has sent all.
    """

    protocol: asyncio.Protocol

    def __init__(self, connection: "Connection", number: int = 0) -> None:
        super().__init__()
        self._connection = connection
        self.number = number
        self.chunks = False
        self.missing: int | None = None
        self._head = b""
        self._left: int | None = None  # of the body that is sent, once its head has been; or CHUNKED, UNTIL_CLOSE
        self._chunked: ChunkedBody | None = None
        self._unsent = bytearray()
        self._trailers: list[tuple[bytes, bytes]] = []
        self._written = False  # all that is to be sent is in _unsent
        self._sent = False
        self.received = False
        self._arrived: deque[tuple[bytes, int]] = deque()
        self._delivering = False
        self._paused = False
        self._pausing = False
        self._taken = 0
        self._over = False

    def begin(self, raw: bytes) -> int | None:
        """Send a head; returns the length of the body that follows, None where another head does."""
        raise NotImplementedError

    # What goes to the peer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of an HTTP/1.1 message."""
        if self._over or self._written:
            return
        if self._left is None:
            data = self._begin(self._head + data)
            if self._left is None:
                return
        if self._chunked is not None:
            data, _ = self._chunked.feed(bytes(data))
            complete = self._chunked.complete
            self._trailers = trailers_to_http2(self._chunked.trailers) if complete else []
        elif self._left != UNTIL_CLOSE:
            data = data[: self._left]
            self._left -= len(data)
            complete = self._left == 0
        else:
            complete = False
        self._unsent += data
        self._written = complete
        self.pump()

    def writelines(self, pieces: Iterable[Any]) -> None:
        """Send several."""
        self.write(b"".join(pieces))

    def _begin(self, data: bytes) -> bytes:
        """Send the heads at the beginning of `data`, and return what follows them."""
        while self._left is None and not self._over:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._head = data
                return b""
            try:
                self._left = self.begin(data[:end])
            except StreamClosedError:
                return b""  # by a frame of the peer that is yet to be handled here
            data = data[end:]
        self._head = b""
        if self._left == CHUNKED:
            self._chunked = ChunkedBody(unframed=True)
        return data

    def pump(self) -> None:
        """Send as much as the peer's windows allow."""
        try:
            self._send()
        except StreamClosedError:
            return  # by a frame of the peer that is yet to be handled here
        self._connection.flush_soon()
        if len(self._unsent) > _MOST_UNSENT and not self._pausing:
            self._pausing = True
            self.protocol.pause_writing()
        elif self._pausing and len(self._unsent) < _FEW_UNSENT:
            self._pausing = False
            self.protocol.resume_writing()
        if self._sent:
            self._end_if_done()

    def _send(self) -> None:
        connection, h2 = self._connection, self._connection.h2
        while self._unsent and not connection.write_paused:
            size = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size, len(self._unsent))
            if size <= 0:
                break
            last = self._written and size == len(self._unsent) and not self._trailers
            h2.send_data(self.number, bytes(self._unsent[:size]), end_stream=last)
            connection.data_sent(size, last=last)
            del self._unsent[:size]
            self._sent = last
        if self._written and not self._unsent and not self._sent:
            self._sent = True
            if self._trailers:
                h2.send_headers(self.number, self._trailers, end_stream=True)
            else:
                h2.end_stream(self.number)

    def head_sent(self, *, complete: bool) -> None:
        """`begin` has sent a head, with the end of the stream where `complete`."""
        self._sent = self._written = complete

    # What comes from the peer

    def deliver(self, data: bytes, size: int = 0) -> None:
        """Hand a piece on, now or when the other side reads again.

        Args:
            data: as HTTP/1.1.
            size: how much of the window it takes.
        """
        self._arrived.append((data, size))
        self._hand_on()

    def deliver_body(self, content: bytes, size: int) -> None:
        """Hand on content of a DATA frame."""
        if self.missing is not None:
            self.missing -= len(content)
        self.deliver(chunk(content) if self.chunks else content, size)

    def deliver_end(self, trailers: bytes = b"") -> None:
        """Nothing more will come; `trailers` are lines with their CRLF."""
        self.received = True
        if self.chunks:
            self.deliver(b"0\r\n" + trailers + b"\r\n")
        if self._sent:
            self._end_if_done()

    def _hand_on(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._arrived and not self._paused and not self._over:
                data, size = self._arrived.popleft()
                self._open_window(size)
                if data:
                    self.protocol.data_received(data)
        finally:
            self._delivering = False

    def _open_window(self, size: int) -> None:
        self._taken += size
        if self._taken >= _OPEN_WINDOW and not self.received and not self._over:
            self._connection.open_window(self.number, self._taken)
            self._taken = 0

    def pause_reading(self) -> None:
        """Deliver nothing for now; the peer's window closes then."""
        self._paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self._paused = False
        if self._arrived and not self._delivering:
            asyncio.get_running_loop().call_soon(self._hand_on)

    # The end

    def _end_if_done(self) -> None:
        if self.received and not self._arrived:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._connection.forget(self)

    def reset(self, code: ErrorCodes) -> None:
        """End the stream at once."""
        if not self._over:
            if self.number:
                self._connection.reset(self.number, code)
            self._end()

    def lost(self) -> None:
        """The peer has reset the stream, or the connection is gone."""
        if not self._over:
            self._end()
            self.protocol.connection_lost(ConnectionResetError())

    def close(self) -> None:
        """The message ends here; the rest of what comes from the peer is not wanted."""
        if self._over:
            return
        if self._left is None:
            self.reset(ErrorCodes.CANCEL)
            return
        if self._left == UNTIL_CLOSE:
            self._written = True
            self.pump()
        if self._written:
            # RFC 9113 section 8.1: an answer may be complete before its request is.
            self._paused = False
            self._arrived.clear()
            if self._sent and not self._over:
                self.reset(ErrorCodes.NO_ERROR)
        else:
            self.reset(ErrorCodes.INTERNAL_ERROR)

    def abort(self) -> None:
        """Something broke: the peer must not take what it has for complete."""
        if not self._over:
            self.reset(ErrorCodes.NO_ERROR if self._sent else ErrorCodes.INTERNAL_ERROR)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        """What the peer's windows hold back."""
        return len(self._unsent)

    def is_closing(self) -> bool:
        """Whether the stream is over."""
        return self._over

    def can_write_eof(self) -> bool:
        """Never: the message says itself where it ends."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection, but for its socket, which is not the stream's alone."""
        return default if name == "socket" else self._connection.transport.get_extra_info(name, default)
