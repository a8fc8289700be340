"""An HTTP/2 connection, to a client or to a backend: frames in and out, and windows."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import InvalidBodyLengthError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from smartlb.http2.stream import Stream
from smartlb.limits.allowance import Allowance
from smartlb.wire.http2_heads import Malformed, trailers_from_http2

log = logging.getLogger(__name__)

STREAM_WINDOW: Final = 131_072
"""Bytes of a body that a peer may send before they are taken, per stream."""

_CONNECTION_WINDOW: Final = 1 << 20
"""Opened again with each frame that comes: a stream that is slow has its own window to fill, not all others'."""

_WRONG_LENGTH: Final = "its body is not as long as its content-length says"

_INITIAL_WINDOW: Final = 65_535
"""RFC 9113 section 6.9.2."""

_LARGEST_TABLE: Final = 4_096
"""What HPACK may remember of the headers that are sent; a peer that allows more would have its memory here."""

_UPDATES_EARNED: Final = 10
"""Window updates that a peer may send for each DATA frame that it gets; Envoy has as many
(`max_inbound_window_update_frames_per_data_frame_sent`)."""

_MOST_UPDATES: Final = 1_000
"""So many of them are kept for later."""

_WORTH_A_FRAME: Final = 256
"""Bytes from which on a DATA frame earns them: a peer that opens its window byte by byte has a frame for each."""

_PATIENCE_S: Final = 75.0
"""How long a peer may take to read what is left when the connection has ended."""

_FAREWELL_S: Final = 2.0
"""The same of a peer that has broken the protocol, or done too much."""


class Unheeded(Event):
    """A frame of which nothing comes, as its stream is over."""


class BodyLengthWrong(Event):
    """A body is not as long as its content-length says.

    Attributes:
        stream_id: of its stream.
        flow_controlled_length: of the frames that showed it.
    """

    def __init__(self, stream_id: int, flow_controlled_length: int) -> None:
        self.stream_id = stream_id
        self.flow_controlled_length = flow_controlled_length


class GracefulH2Connection(H2Connection):
    """h2's, but some errors of the peer leave open what is under way.

    These are a GOAWAY (RFC 9113 section 6.8), and a body of another length than announced (section 8.1.1).
    """

    @property
    def awaits_too_much(self) -> bool:
        """Whether the next frame is longer than allowed, which h2 sees only when it has all of it."""
        begun = self.incoming_buffer._data
        return len(begun) >= 3 and int.from_bytes(begun[:3], "big") > self.max_inbound_frame_size

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]

    def _receive_settings_frame(self, frame: SettingsFrame) -> tuple[list[Frame], list[Event]]:
        # RFC 7541 section 4.2: an encoder need not use all that it is allowed.
        if frame.settings.get(SettingCodes.HEADER_TABLE_SIZE, 0) > _LARGEST_TABLE:
            frame.settings[SettingCodes.HEADER_TABLE_SIZE] = _LARGEST_TABLE
        return super()._receive_settings_frame(frame)

    def _receive_frame(self, frame: Frame) -> list[Event]:
        events = super()._receive_frame(frame)
        if not events:
            if isinstance(frame, DataFrame | RstStreamFrame):
                return [Unheeded()]
            if isinstance(frame, WindowUpdateFrame):
                return [WindowUpdated(stream_id=frame.stream_id, delta=frame.window_increment)]
        return events

    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        frames, events = super()._receive_headers_frame(frame)
        if any(
            isinstance(event, ResponseReceived) and (b":status", b"304") in (event.headers or ()) for event in events
        ):
            # RFC 9110 section 8.6: its content-length is that of the response to a GET, and no body comes.
            self.streams[frame.stream_id]._expected_content_length = 0
        return frames, events

    def receive_data(self, data: Any) -> list[Event]:
        """h2's, but nothing of a message that `data` shows to have the wrong length: nobody should begin with it."""
        events = super().receive_data(data)
        for wrong in [event for event in events if isinstance(event, BodyLengthWrong)]:
            others = [event for event in events if event is not wrong and _stream_of(event) == wrong.stream_id]
            wrong.flow_controlled_length += sum(
                event.flow_controlled_length for event in others if isinstance(event, DataReceived | BodyLengthWrong)
            )
            events = [event for event in events if event not in others]
        return events

    def _receive_data_frame(self, frame: DataFrame) -> tuple[list[Frame], list[Event]]:
        try:
            return super()._receive_data_frame(frame)
        except InvalidBodyLengthError:
            return [], [BodyLengthWrong(frame.stream_id, frame.flow_controlled_length)]


def _stream_of(event: Event) -> int | None:
    return getattr(event, "stream_id", None)


class Connection(asyncio.Protocol):
    """One connection and its streams.

    Args:
        client_side: whether it is to a backend.
        settings: to announce, besides the size of the windows.
        control_frames: how many frames that carry no message the peer may send.
        resets: how many streams it may reset or break.

    Attributes:
        h2: the state of the protocol.
        transport: set once connected.
        streams: open ones, by number.
        write_paused: whether the peer takes what it is sent more slowly than it comes.
        closed: whether it takes no part in anything any more.
    """

    transport: asyncio.Transport

    def __init__(
        self, *, client_side: bool, settings: Mapping[int, int], control_frames: Allowance, resets: Allowance
    ) -> None:
        self.h2 = GracefulH2Connection(
            H2Configuration(
                client_side=client_side,
                header_encoding=False,
                # Checked by `heads`, which knows what may be answered without ending the connection.
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        announced = {SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW, **settings}
        if client_side:
            announced[SettingCodes.ENABLE_PUSH] = 0
        self.h2.local_settings = Settings(client=client_side, initial_values=cast(Any, announced))
        if SettingCodes.MAX_HEADER_LIST_SIZE in announced:
            self.h2.decoder.max_header_list_size = announced[SettingCodes.MAX_HEADER_LIST_SIZE]
        self.streams: dict[int, Stream] = {}
        self.write_paused = False
        self.closed = False
        self._control_frames = control_frames
        self._resets = resets
        self._window_taken = 0
        self._updates_left = 0
        self._flushing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self.transport = cast(asyncio.Transport, transport)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(_CONNECTION_WINDOW - _INITIAL_WINDOW)
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
        self.transport.resume_reading()
        self._pump_all()

    def data_received(self, data: bytes) -> None:
        """Take in frames."""
        if self.closed:
            return
        try:
            for event in self.h2.receive_data(data):
                handle = self._HANDLERS.get(type(event))
                if handle is not None and not self.closed:
                    handle(self, event)
            if not self.closed and self.h2.awaits_too_much:
                self.broken("a frame is longer than it may be", ErrorCodes.FRAME_SIZE_ERROR)
        except ProtocolError as error:
            # h2 has a GOAWAY ready that names the error.
            self.broken(f"the peer broke the protocol: {error}", None)
        except Exception:
            log.exception("internal error on an HTTP/2 connection")
            self.end(ErrorCodes.INTERNAL_ERROR)
        else:
            self.flush()

    def broken(self, reason: str, code: ErrorCodes | None) -> None:
        """The peer broke the protocol.

        Args:
            reason: how.
            code: what it is told; None where h2 has told it.
        """
        log.debug("an HTTP/2 connection ends: %s", reason)
        if code is not None:
            self.h2.close_connection(code)
        self._close(_FAREWELL_S)

    def calm(self) -> None:
        """The peer does too often what it may do now and then."""
        self.end(ErrorCodes.ENHANCE_YOUR_CALM)

    def end(self, code: ErrorCodes) -> None:
        """Say why, and close; streams that are open are lost."""
        if not self.closed:
            self.h2.close_connection(code)
            self._close(_PATIENCE_S if code == ErrorCodes.NO_ERROR else _FAREWELL_S)

    def _close(self, patience_s: float) -> None:
        self.closed = True
        self.flush()
        self.transport.close()
        # Which waits until all has been sent; a peer that reads nothing would keep the connection for ever.
        asyncio.get_running_loop().call_later(patience_s, self.transport.abort)
        for stream in list(self.streams.values()):
            stream.lost()

    # Sending

    def flush(self) -> None:
        """Send what is ready."""
        self._flushing = False
        if data := self.h2.data_to_send():
            self.transport.write(data)

    def flush_soon(self) -> None:
        """Send what is ready, together with what other streams have until then."""
        if not self._flushing and not self.closed:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def open_window(self, number: int, size: int) -> None:
        """Let the peer send so much more on a stream."""
        with suppress(StreamClosedError):
            self.h2.increment_flow_control_window(size, number)
            self.flush_soon()

    def reset(self, number: int, code: ErrorCodes) -> None:
        """End a stream on the peer's side too."""
        if not self.closed:
            with suppress(StreamClosedError):
                self.h2.reset_stream(number, code)
                self.flush_soon()

    def data_sent(self, size: int, *, last: bool) -> None:
        """A DATA frame has been sent, for which the peer may open its windows again."""
        if last or size >= _WORTH_A_FRAME:
            self._updates_left = _UPDATES_EARNED + min(self._updates_left, _MOST_UPDATES)

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.number, None)

    def _pump_all(self) -> None:
        for stream in list(self.streams.values()):
            stream.pump()

    # Receiving

    def _allow(self, allowance: Allowance) -> bool:
        if allowance.take(monotonic()):
            return True
        self.calm()
        return False

    def _on_data(self, event: DataReceived) -> None:
        size = event.flow_controlled_length
        if not event.data and event.stream_ended is None and not self._allow(self._control_frames):
            return
        self._open_connection_window(size)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.deliver_body(event.data, size)

    def _open_connection_window(self, size: int) -> None:
        self._window_taken += size
        if self._window_taken >= _CONNECTION_WINDOW // 4:
            self.h2.increment_flow_control_window(self._window_taken)
            self._window_taken = 0

    def _on_wrong_length(self, event: BodyLengthWrong) -> None:
        self._open_connection_window(event.flow_controlled_length)
        self.malformed(event.stream_id, _WRONG_LENGTH)

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        if stream.missing:  # which h2 looks at only where DATA ends the stream
            self.malformed(event.stream_id, _WRONG_LENGTH)
            return
        try:
            stream.deliver_end(trailers_from_http2(cast(Any, event.headers)))
        except Malformed as error:
            self.malformed(event.stream_id, str(error))

    def _on_end(self, event: StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and not stream.received:
            stream.deliver_end()

    def _on_reset(self, event: StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.lost()
        self._allow(self._resets)

    def malformed(self, number: int, reason: str) -> None:
        """A stream breaks the protocol: end it, and the connection if that happens often."""
        log.debug("an HTTP/2 stream is malformed: %s", reason)
        self.reset(number, ErrorCodes.PROTOCOL_ERROR)
        stream = self.streams.get(number)
        if stream is not None:
            stream.lost()
        self._allow(self._resets)

    def _allow_update(self) -> bool:
        if self._updates_left:
            self._updates_left -= 1
            return True
        return self._allow(self._control_frames)

    def _on_window(self, event: WindowUpdated) -> None:
        if not self._allow_update():
            return
        if not event.stream_id:
            self._pump_all()
        elif (stream := self.streams.get(event.stream_id)) is not None:
            stream.pump()

    def _on_settings(self, _event: RemoteSettingsChanged) -> None:
        if self._allow(self._control_frames):
            self._pump_all()

    def _on_control(self, _event: Event) -> None:
        self._allow(self._control_frames)

    _HANDLERS: ClassVar[dict[type[Event], Callable[[Any, Any], None]]] = {
        DataReceived: _on_data,
        BodyLengthWrong: _on_wrong_length,
        Unheeded: _on_control,
        TrailersReceived: _on_trailers,
        StreamEnded: _on_end,
        StreamReset: _on_reset,
        WindowUpdated: _on_window,
        RemoteSettingsChanged: _on_settings,
        PingReceived: _on_control,
        PriorityUpdated: _on_control,
        UnknownFrameReceived: _on_control,
    }
