# cython: annotation_typing=False
"""One stream, which is to HTTP/1.1 on the router's side what a connection's transport is."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from smartlb.http2.codes import ErrorCode
from smartlb.http2.session import Hearer, Session, StreamGone
from smartlb.wire.chunked import ChunkedBody, chunk
from smartlb.wire.http1 import CHUNKED, UNTIL_CLOSE, find_head_end
from smartlb.wire.http2_heads import trailers_to_http2
from smartlb.wire.pieces import part

_MOST_UNSENT: Final = 65_536
"""From so many bytes on that the peer's flow control holds back, no more are read from the other side."""

_FEW_UNSENT: Final = 16_384
"""Below so many it goes on."""

_OPEN_WINDOW: Final = 16_384
"""The peer's window is opened anew when so many bytes have been taken from it."""


class Carrier(Hearer):
    """A connection, as its streams see it.

    Attributes:
        transport: of the connection.
        session: the state of the protocol.
    """

    transport: asyncio.Transport
    session: Session

    def flush_soon(self) -> None:
        """Send what is ready, together with what other streams have until then."""
        raise NotImplementedError

    def to_send(self, stream: "Stream") -> None:
        """A stream has something to send: call its `flushed` when that has gone out as far as it may."""
        raise NotImplementedError

    def reset(self, number: int, code: int) -> None:
        """End a stream on the peer's side too."""
        raise NotImplementedError

    def forget(self, stream: "Stream") -> None:
        """A stream is over."""
        raise NotImplementedError


class Stream:
    """A transport over a stream: what is written to it is HTTP/1.1, what it delivers to its protocol too.

    Attributes:
        carrier: whose stream it is.
        number: of the stream; 0 until it has one.
        protocol: a client's or a backend's connection, for one exchange.
        chunks: whether what is received is delivered as chunks.
        missing: bytes of the body that are yet to be received; negative where it does not say how long it is.
        received: whether the peer has sent all.
    """

    protocol: Any

    # What `belongs_to` does not set is 0, False or None then, as in every object of C.
    carrier: Carrier
    number: int
    chunks: bool
    missing: int
    received: bool
    _head: bytes
    _begun: bool  # a head has been sent that a body may follow
    _left: int  # of the body that is sent; or CHUNKED, UNTIL_CLOSE
    _chunked: ChunkedBody | None
    _written: bool  # all that is to be sent has been handed to the session
    _bodiless: bool  # the head was all
    _closed: bool  # the session has nothing more on it
    _closing: bool  # what the peer still sends is not wanted
    _arrived: deque[tuple[bytes, int]] | None
    _delivering: bool
    _paused: bool
    _pausing: bool
    _taken: int
    _over: bool

    def belongs_to(self, carrier: Carrier, number: int) -> None:
        """Begin to be a stream of `carrier`; `number` is 0 where it has none yet."""
        self.carrier = carrier
        self.number = number
        self.missing = -1
        self._head = b""

    def begin(self, raw: bytes) -> None:
        """Send a head, and call `head_sent` unless another one follows it.

        Raises:
            StreamGone: see `smartlb.http2.session`.
        """
        raise NotImplementedError

    def head_sent(self, length: int) -> None:
        """A head has been sent, with the end of the stream where `length` is 0; see `Outgoing`."""
        self._begun = True
        self._left = length
        self._bodiless = self._written = length == 0
        if length == CHUNKED:
            self._chunked = ChunkedBody(unframed=True)
        if self._written:
            self.carrier.to_send(self)

    # What goes to the peer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of an HTTP/1.1 message."""
        if self._over or self._written:
            return
        content = data if isinstance(data, bytes) else bytes(data)
        if not self._begun:
            following = self._begin(self._head + content if self._head else content)
            if following is None:
                return
            content = following
        trailers: list[tuple[bytes, bytes]] | None = None
        if self._chunked is not None:
            content = self._chunked.feed(content)[0]
            if self._chunked.complete:
                self._written = True
                if self._chunked.trailers:
                    trailers = trailers_to_http2(self._chunked.trailers)
        elif self._left != UNTIL_CLOSE:
            if len(content) > self._left:
                content = content[: self._left]
            self._left -= len(content)
            self._written = self._left == 0
        self._send(content, trailers)

    def writelines(self, pieces: Iterable[Any]) -> None:
        """Send several."""
        self.write(b"".join(pieces))

    def _begin(self, data: bytes) -> bytes | None:
        """Send the heads at the beginning of `data`, and return what follows them; None where nothing may."""
        while not self._begun and not self._over:
            end = find_head_end(data, 0)
            if end < 0:
                self._head = data
                return None
            try:
                self.begin(part(data, 0, end))
            except StreamGone:
                self._written = True
                return None
            data = part(data, end, len(data))
        self._head = b""
        return None if self._bodiless or self._over else data

    def _send(self, content: bytes, trailers: list[tuple[bytes, bytes]] | None) -> None:
        session = self.carrier.session
        try:
            if trailers:
                if content:
                    session.send(self.number, content, False)
                session.send_trailers(self.number, trailers)
            elif content or self._written:
                session.send(self.number, content, self._written)
            else:
                return
        except StreamGone:
            self._written = True
            return
        self.carrier.to_send(self)

    def _all_sent(self) -> bool:
        if not self._written or self._closed:
            return self._written
        session = self.carrier.session
        # An end without content waits for a window, too.
        return session.held(self.number) == 0 and (self._bodiless or session.window(self.number) > 0)

    def flushed(self) -> bool:
        """What the peer's windows allow has gone out; returns whether to call again after more has."""
        if self._over:
            return False
        held = self.carrier.session.held(self.number)
        if held > _MOST_UNSENT and not self._pausing:
            self._pausing = True
            self.protocol.pause_writing()
        elif self._pausing and held < _FEW_UNSENT:
            self._pausing = False
            self.protocol.resume_writing()
        if self._closing and self._all_sent():
            # RFC 9113 section 8.1: an answer may be complete before its request is.
            self.reset(ErrorCode.NO_ERROR)
            return False
        return held > 0 or self._closing

    # What comes from the peer

    def deliver(self, data: bytes, size: int = 0) -> None:
        """Hand a piece on, now or when the other side reads again.

        Args:
            data: as HTTP/1.1.
            size: how much of the window it takes.
        """
        if self._delivering or self._paused or self._arrived:
            if self._arrived is None:
                self._arrived = deque()
            self._arrived.append((data, size))
        else:
            self._hand(data, size)
        if self._arrived:
            self.hand_on()

    def deliver_body(self, content: bytes) -> bool:
        """Hand on content of a DATA frame; False where there is more than was announced."""
        size = len(content)
        if self.missing >= 0:
            if size > self.missing:
                return False
            self.missing -= size
        self.deliver(chunk(content) if self.chunks else content, size)
        return True

    def deliver_end(self, trailers: bytes = b"") -> bool:
        """Nothing more will come; False where less has come than was announced.

        Args:
            trailers: lines with their CRLF.
        """
        if self.missing > 0:
            return False
        self.received = True
        if self.chunks:
            self.deliver(b"0\r\n" + trailers + b"\r\n")
        self._end_if_done()
        return True

    def hand_on(self) -> None:
        """Deliver what has arrived, as far as it is taken."""
        while self._arrived and not (self._delivering or self._paused or self._over):
            data, size = self._arrived.popleft()
            self._hand(data, size)
        self._end_if_done()

    def _hand(self, data: bytes, size: int) -> None:
        self._delivering = True
        try:
            if size:
                self._take(size)
            if data:
                self.protocol.data_received(data)
        finally:
            self._delivering = False

    def _take(self, size: int) -> None:
        self._taken += size
        if self._taken >= _OPEN_WINDOW:
            self._give_back()

    def _give_back(self) -> None:
        self.carrier.session.taken(self.number, self._taken)
        self._taken = 0
        self.carrier.flush_soon()

    def pause_reading(self) -> None:
        """Deliver nothing for now; the peer's window closes then."""
        self._paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self._paused = False
        if self._arrived and not self._delivering:
            asyncio.get_running_loop().call_soon(self.hand_on)

    # The end

    def closed(self) -> None:
        """Both ends have ended it in the session."""
        self._closed = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closed and self.received and not self._arrived and not self._delivering:
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self._drop_arrived()
        if self._taken:
            self._give_back()
        self.carrier.forget(self)

    def _drop_arrived(self) -> None:
        if self._arrived:
            for _, size in self._arrived:
                self._taken += size
            self._arrived = None

    def reset(self, code: int) -> None:
        """End the stream at once."""
        if not self._over:
            if self.number and not self._closed:
                self.carrier.reset(self.number, code)
            self._end()

    def lost(self) -> None:
        """The peer has reset the stream, or the connection is gone."""
        if self._over or (self._closed and self.received):
            return  # what has come of it is complete
        self._end()
        self.protocol.connection_lost(ConnectionResetError())

    def close(self) -> None:
        """The message ends here; the rest of what comes from the peer is not wanted."""
        if self._over:
            return
        if not self._begun:
            self.reset(ErrorCode.CANCEL)
            return
        if self._left == UNTIL_CLOSE and not self._written:
            self._written = True
            self._send(b"", None)
        if not self._written:
            self.reset(ErrorCode.INTERNAL_ERROR)
            return
        self._paused = False
        self._drop_arrived()
        self._closing = True
        self.carrier.to_send(self)
        self._end_if_done()

    def abort(self) -> None:
        """Something broke: the peer must not take what it has for complete."""
        if self._over:
            return
        complete = self._closed and self.received
        self.reset(ErrorCode.NO_ERROR if self._all_sent() else ErrorCode.INTERNAL_ERROR)
        if not complete:
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        """What the peer's windows hold back."""
        return self.carrier.session.held(self.number) if self.number else 0

    def is_closing(self) -> bool:
        """Whether the stream is over."""
        return self._over

    def can_write_eof(self) -> bool:
        """Never: the message says itself where it ends."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection, but for its socket, which is not the stream's alone."""
        return default if name == "socket" else self.carrier.transport.get_extra_info(name, default)
