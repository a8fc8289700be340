# cython: annotation_typing=False
"""The seam to the library that speaks HTTP/2: no other file knows it.

It is ngh2, which has libnghttp2 (RFC 9113, RFC 7541) behind an interface without I/O. What it reports as events is told
to a `Hearer`, so that another library can take its place with this file alone.
"""

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosed,
    ConnectionStateError,
    DataReceived,
    DenialOfServiceError,
    GoAwayReceived,
    InformationalResponseReceived,
    NGH2Error,
    ProtocolError,
    RequestReceived,
    ResponseReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from smartlb.http2.codes import ErrorCode, Setting

Headers = Sequence[tuple[bytes, bytes]]

_STREAM_WINDOW: Final = 131_072
"""Bytes of a body that a peer may send before they are taken, per stream."""

_LARGEST_TABLE: Final = 4_096
"""What HPACK may remember of the headers that are sent; a peer that allows more would have its memory here."""

_MOST_CONTINUATIONS: Final = 64
"""Of one header section."""

_MOST_ANSWERS: Final = 20_000
"""PING and SETTINGS that wait for their answers to be sent: more than one read can bring. The peer is not read when it
does not read; where the router reads on all the same, from backends, they end here."""

_LONGEST_HEAD_SENT: Final = 1 << 20
"""The router has its own limits for heads."""

_NO_LIMIT: Final = (1 << 40, 1 << 40)
"""Floods are counted by `smartlb.http2.floods`, by one rule for all that they may be made of."""

_PER_FIELD: Final = 32
"""What a field counts for besides its name and value (RFC 9113 section 6.5.2)."""

_ANY_NUMBER: Final = 2**32 - 1

_LARGEST_WINDOW: Final = 2**31 - 1

_GOAWAY: Final = struct.Struct(">BHBBIII")
"""Length in three bytes, type, flags, stream 0, last stream, error."""

_CODES: Final = (
    (DenialOfServiceError, ErrorCode.ENHANCE_YOUR_CALM),
    (ProtocolError, ErrorCode.PROTOCOL_ERROR),
    (Exception, ErrorCode.INTERNAL_ERROR),
)


class SessionBroken(Exception):
    """The connection cannot go on; the message says why.

    Attributes:
        goaway: the frame to tell the peer with.
    """

    def __init__(self, reason: str, goaway: bytes) -> None:
        super().__init__(reason)
        self.goaway = goaway


class StreamGone(Exception):
    """The peer has ended the stream or the connection, which is yet to be reported; or no stream can be opened."""


class Hearer:
    """Hears what comes on a connection."""

    def request(self, number: int, headers: tuple[tuple[bytes, bytes], ...], complete: bool) -> None:
        """A request's header section; `complete` where nothing follows."""

    def response(self, number: int, headers: tuple[tuple[bytes, bytes], ...], complete: bool) -> None:
        """A response's header section, of an interim response too."""

    def trailers(self, number: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """The header section that ends a stream."""

    def data(self, number: int, content: bytes, last: bool) -> None:
        """Content of a DATA frame; `Session.taken` has to be told of it sooner or later."""

    def reset_by_peer(self, number: int, code: int) -> None:
        """The peer has reset a stream, or one that was over already."""

    def stream_closed(self, number: int, code: int) -> None:
        """Both ends have ended a stream, or one of them has reset it."""

    def settings(self) -> None:
        """The peer has said what it takes."""

    def goes_away(self, last: int, code: int) -> None:
        """The peer takes no streams any more, and has looked at none after `last`; `code` says why."""

    def over(self, code: int, reason: str) -> None:
        """Nothing is left to be done on the connection; the peer has been told by GOAWAY, or has told."""


class Session:
    """One end of a connection: frames, header compression, the states of streams, and windows.

    Header sections come as they are, but for those that RFC 9113 calls malformed where libnghttp2 sees it: their
    streams are reset, and reported as closed only.

    Args:
        hearer: is told what has come, by `report`.
        client: whether this end is the client.
        most_streams: that there may be at once. The window of the connection is twice what they all can fill, as it is
            opened anew only when half of it has been taken: so no stream holds up others.
        longest_head: bytes of a header section, 32 for each field included.

    Attributes:
        most_streams: that the peer takes, once its settings have come, where this end is the client.
    """

    def __init__(self, hearer: Hearer, client: bool, most_streams: int, longest_head: int) -> None:
        self._hearer = hearer
        self._server = not client
        self.most_streams = _ANY_NUMBER
        self._window = self._window_wanted = min(2 * most_streams * _STREAM_WINDOW, _LARGEST_WINDOW)
        self._owed = 0  # bytes that have been reported and not taken
        self._last = 0
        self._engine: Any = Connection(
            Role.CLIENT if client else Role.SERVER,
            Configuration(
                auto_window_update=False,
                max_send_header_block_length=_LONGEST_HEAD_SENT,
                max_deflate_dynamic_table_size=_LARGEST_TABLE,
                max_outbound_ack=_MOST_ANSWERS,
                stream_reset_rate_limit=_NO_LIMIT,
                max_continuations=_MOST_CONTINUATIONS,
                glitch_rate_limit=_NO_LIMIT,
                max_inbound_header_list_size=longest_head,
                max_inbound_header_count=longest_head // _PER_FIELD,
            ),
        )
        settings: dict[int, int] = {
            Setting.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: longest_head,
        }
        if client:
            settings[Setting.ENABLE_PUSH] = 0
        else:
            settings[Setting.MAX_CONCURRENT_STREAMS] = most_streams
        self._engine.initiate_connection(settings)
        self._engine.set_local_window_size(self._window)

    # What comes

    def receive(self, data: bytes) -> bool:
        """Take in bytes; returns whether to send before `report`, as it may decide what becomes of streams.

        Raises:
            SessionBroken: they are no HTTP/2, or more than this end takes.
        """
        try:
            self._engine.receive_data(data)
            urgent: bool = self._engine.want_write
        except ConnectionStateError:
            return False  # it is over
        except NGH2Error as error:
            raise self._broken(error) from None
        return urgent

    def report(self) -> None:
        """Tell the hearer what has come, and what has become of streams by what was sent."""
        events = self._engine.events()
        count = len(events)
        broken = self._broken_streams(events)
        at = 0
        while at < count:
            event = events[at]
            kind = type(event)
            number = getattr(event, "stream_id", 0)
            at += 1
            if number in broken and kind is not StreamClosed:
                if kind is DataReceived:
                    self._owed += len(event.data)
                    self.taken(number, len(event.data))
                continue
            if at < count and kind is not StreamReset:
                following = events[at]
                if type(following) is StreamClosed and following.stream_id == number:
                    # First, so that nobody resets on the last piece what has ended with it.
                    self._tell(following)
                    at += 1
            self._tell(event)

    def _broken_streams(self, events: list[Any]) -> set[int]:
        """Those that this end has reset: nobody begins with a message of another length than announced, say."""
        broken = set()
        reset_by_peer = 0
        for event in events:
            kind = type(event)
            if kind is StreamReset:
                reset_by_peer = event.stream_id
            elif kind is StreamClosed and event.error_code and event.stream_id != reset_by_peer:
                broken.add(event.stream_id)
        return broken

    def _tell(self, event: Any) -> None:
        hearer = self._hearer
        kind = type(event)
        if kind is RequestReceived:
            self._last = event.stream_id
            hearer.request(event.stream_id, event.headers, event.end_stream)
        elif kind is DataReceived:
            self._owed += len(event.data)
            hearer.data(event.stream_id, event.data, event.end_stream)
        elif kind is StreamClosed:
            if event.error_code:
                self._mend_window()
            hearer.stream_closed(event.stream_id, event.error_code)
        elif kind is ResponseReceived:
            hearer.response(event.stream_id, event.headers, event.end_stream)
        elif kind is InformationalResponseReceived:
            hearer.response(event.stream_id, event.headers, False)
        elif kind is TrailersReceived:
            hearer.trailers(event.stream_id, event.headers)
        elif kind is StreamReset:
            hearer.reset_by_peer(event.stream_id, event.error_code)
        elif kind is SettingsReceived:
            self.most_streams = event.settings.get(Setting.MAX_CONCURRENT_STREAMS, self.most_streams)
            hearer.settings()
        elif kind is GoAwayReceived:
            hearer.goes_away(event.last_stream_id, event.error_code)
        elif kind is ConnectionClosed:
            hearer.over(event.error_code, event.debug_data.decode("latin-1"))

    def taken(self, number: int, size: int) -> None:
        """So many bytes that were reported are out of the way: the peer may send as many again."""
        self._owed -= size
        try:
            self._engine.acknowledge_received_data(size, number)
        except NGH2Error:
            return  # the connection is over

    def _mend_window(self) -> None:
        """Open the window of the connection for what came of a frame before its stream was reset.

        The library does not report it, so nobody can say that it is taken. What has been taken and not announced is
        half a window at most.
        """
        with suppress(NGH2Error):
            missing = self._window_wanted - self._owed - self._engine.local_window_size
            if missing > self._window_wanted // 2 and self._window + missing <= _LARGEST_WINDOW:
                self._window += missing
                self._engine.set_local_window_size(self._window)

    # What is sent

    @property
    def takes_requests(self) -> bool:
        """Whether another request may be sent, but for the number of those under way."""
        with suppress(NGH2Error):
            allowed: bool = self._engine.can_send_request
            return allowed
        return False

    def output(self) -> bytes:
        """All that may be sent now; empty where the connection is over.

        Raises:
            SessionBroken: an error of the library.
        """
        try:
            data: bytes = self._engine.data_to_send()
        except ConnectionStateError:
            return b""
        except NGH2Error as error:
            raise self._broken(error) from None
        return data

    def ask(self, headers: Headers, complete: bool) -> int:
        """Open a stream with a request's header section; returns its number.

        Raises:
            StreamGone: the connection takes no more.
        """
        try:
            number: int = self._engine.send_request(headers, end_stream=complete)
        except NGH2Error as error:
            raise StreamGone(str(error)) from None
        return number

    def answer(self, number: int, headers: list[tuple[bytes, bytes]], complete: bool) -> None:
        """Send a response's header section.

        Raises:
            StreamGone: as it says.
        """
        try:
            self._engine.send_response(number, headers, end_stream=complete)
        except NGH2Error as error:
            raise StreamGone(str(error)) from None

    def answer_meanwhile(self, number: int, headers: Headers) -> None:
        """Send an interim response.

        Raises:
            StreamGone: as it says.
        """
        try:
            self._engine.send_informational_response(number, headers)
        except NGH2Error as error:
            raise StreamGone(str(error)) from None

    def send(self, number: int, content: bytes, last: bool) -> None:
        """Send content, or keep it until the peer's windows allow it; after a header section.

        Raises:
            StreamGone: as it says.
        """
        try:
            self._engine.send_data(number, content, end_stream=last)
        except NGH2Error as error:
            raise StreamGone(str(error)) from None

    def send_trailers(self, number: int, headers: Headers) -> None:
        """End a stream with a header section, after all content.

        Raises:
            StreamGone: as it says.
        """
        try:
            self._engine.send_trailers(number, headers)
        except NGH2Error as error:
            raise StreamGone(str(error)) from None

    def held(self, number: int) -> int:
        """Bytes that the peer's windows hold back."""
        held: int = self._engine.queued_body_size(number)
        return held

    def window(self, number: int) -> int:
        """Bytes that the peer takes on a stream now; 0 where it is over."""
        with suppress(NGH2Error):
            size: int = min(self._engine.remote_window_size, self._engine.stream_remote_window_size(number))
            return size
        return 0

    def reset(self, number: int, code: int) -> None:
        """End a stream, with all that is kept for it."""
        with suppress(NGH2Error):
            self._engine.reset_stream(number, code)

    def ping(self, content: bytes) -> None:
        """Have the peer give a sign of life; eight bytes."""
        with suppress(NGH2Error):
            self._engine.ping(content)

    def announce_end(self) -> None:
        """Tell the client that it should open no more streams; those that it has sent already are still taken."""
        with suppress(NGH2Error):
            self._engine.send_shutdown_notice()

    def refuse_more(self) -> None:
        """Take no more streams, and finish those that are open."""
        with suppress(NGH2Error):
            self._engine.send_goaway(ErrorCode.NO_ERROR)

    def end(self, code: int) -> bytes:
        """End the connection; returns what is to be sent last.

        Raises:
            SessionBroken: an error of the library.
        """
        data = self.output()  # first, as streams are not even reset afterwards
        with suppress(NGH2Error):
            self._engine.terminate_connection(code)
            data += self.output()
        return data

    def _broken(self, error: Exception) -> SessionBroken:
        """The library has let go of the connection, and can say no GOAWAY itself (RFC 9113 section 6.8)."""
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        return SessionBroken(str(error), _GOAWAY.pack(0, 8, 7, 0, 0, self._last, code))
