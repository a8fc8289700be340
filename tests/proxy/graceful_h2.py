"""h2 for the ends of a test's connections, which go on after a GOAWAY."""

from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from hyperframe.frame import Frame, GoAwayFrame


class GracefulH2Connection(H2Connection):
    """h2's, but a GOAWAY of the peer leaves open what is under way (RFC 9113 section 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]
