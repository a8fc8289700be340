"""A tunnel: after a 101, bytes go both ways until both connections have ended (RFC 9110 section 7.8)."""

import asyncio
from typing import Protocol

from smartlb.core.outcome import Outcome
from smartlb.exchange.reset import reset
from smartlb.ports.requester import Requester
from smartlb.ports.upstream import Link


class Carrier(Protocol):
    """The exchange that has become a tunnel."""

    def tunnel_alive(self, half_closed: bool) -> None:
        """Something has come through, or one end has closed."""

    def tunnel_over(self, outcome: Outcome, request_bytes: int, response_bytes: int, exc: Exception | None) -> None:
        """Both ends are gone."""


class Tunnel:
    """Joins a client's connection and a backend's.

    Args:
        carrier: hears of it.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._outcome = Outcome.COMPLETE
        self._client: _End
        self._backend: _End

    def open(self, connection: Link, requester: Requester, head: bytes, data: bytes) -> None:
        """Begin.

        Args:
            connection: to the backend.
            requester: the client.
            head: of the 101, for the client.
            data: what the backend has sent after it.
        """
        self._client, self._backend = client, backend = (
            _End(self, requester.transport),
            _End(self, connection.transport),
        )
        client.other, backend.other = backend, client
        connection.transport.set_protocol(backend)
        early = requester.hand_over(client)
        self.alive()
        if not connection.write_paused:
            client.resume_reading()
        # Through the ends, so that the bytes are counted.
        client.write(head)
        if data:
            backend.data_received(data)
        if early:
            client.data_received(early)

    def alive(self) -> None:
        """Something has come through, or one end has closed."""
        self._carrier.tunnel_alive(self._client.ended or self._backend.ended)

    def lost(self, end: "_End", exc: Exception | None) -> None:
        """A connection is gone; with the second one the exchange is over."""
        other = end.other
        broken = exc is not None and not end.ended
        if broken and not other.ended and self._outcome == Outcome.COMPLETE:
            self._outcome = Outcome.CLIENT_GONE if end is self._client else Outcome.TRUNCATED
        end.ended = end.gone = True
        if not other.gone:
            if broken:
                other.reset()
            else:
                other.close()
            self.alive()
            return
        self._carrier.tunnel_over(self._outcome, self._client.received, self._backend.received, exc)

    def timed_out(self) -> None:
        """Nothing has come for too long."""
        if not self._client.ended and not self._backend.ended:
            self._outcome = Outcome.CLIENT_TIMEOUT
        self._client.abort()
        self._backend.abort()


class _End(asyncio.Protocol):
    """One end of a tunnel; what it receives, the other end sends, no faster than that one's peer takes it.

    Attributes:
        other: the other end.
        received: bytes from its peer so far.
        ended: whether its peer has said that no more will come, or is gone.
        gone: whether the connection is closed.
    """

    __slots__ = ("_transport", "_tunnel", "ended", "gone", "other", "received")

    other: "_End"

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._transport = transport
        self.received = 0
        self.ended = self.gone = False

    def data_received(self, data: bytes) -> None:
        """Pass a piece on."""
        self.received += len(data)
        self._tunnel.alive()
        self.other.write(data)

    def eof_received(self) -> bool:
        """Pass the end on, and go on the other way until that end closes too."""
        self.ended = True
        self._tunnel.alive()
        if self.other.ended:
            self.close()
            self.other.close()
        else:
            self.other.end_writing()
        # A TLS transport cannot be open one way.
        return self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has gone, or we have closed."""
        self._tunnel.lost(self, exc)

    def pause_writing(self) -> None:
        """The peer is slow to read: take no more from the other end."""
        self.other.pause_reading()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.other.resume_reading()

    def write(self, data: bytes) -> None:
        """Send, if there is still someone to send to."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def end_writing(self) -> None:
        """Say that no more will come, after all that has been written."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def pause_reading(self) -> None:
        """Take nothing from the peer for now."""
        if not self.ended and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more from the peer."""
        if not self.ended and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once all that has been written is sent."""
        self._transport.close()

    def reset(self) -> None:
        """Close at once, so that the peer knows that it has not got all."""
        reset(self._transport)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
