"""An exchange that asks for another protocol and becomes a tunnel where the backend agrees (RFC 9110 section 7.8)."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from smartlb.core.outcome import COMPLETE, SWITCHING_PROTOCOLS, Outcome
from smartlb.exchange.reset import reset
from smartlb.exchange.traffic import ControlledExchange
from smartlb.wire.upgrade import Offer

if TYPE_CHECKING:
    from smartlb.downstream.http1 import ClientConnection
    from smartlb.upstream.http1 import BackendConnection


class UpgradeExchange(ControlledExchange):
    """Like any exchange until the backend's answer; after a 101, bytes go both ways until both connections have ended.

    The client's connection ends with this exchange in any case. What a client sends after its request and before the
    answer is held back: where the backend refuses, nobody can tell whether it is a request or something of the other
    protocol that another party had the client send, so it is never read as a request.

    Attributes:
        offer: what the client asks for.
    """

    __slots__ = ("_client_end", "_idle_s", "_tunnel_outcome", "offer")

    may_copy = False  # a tunnel must not be opened twice

    def __init__(self, offer: Offer, *request: Any) -> None:
        super().__init__(*request)
        self.offer = offer
        self.keep_alive = False
        self._client_end: _End | None = None
        self._idle_s = self.pool.settings.timeouts.tunnel_idle_s
        self._tunnel_outcome = COMPLETE

    def switch(self, connection: "BackendConnection", raw: bytes, data: bytes) -> None:
        """Open the tunnel, if the 101 in `raw` is the answer to the offer; `data` came after it."""
        head = self.edited(self.offer.accepted(raw)) + b"\r\n"
        client = cast("ClientConnection", self.client)
        self.response_started = True
        self._status = SWITCHING_PROTOCOLS
        self._connection = connection.exchange = None
        self.observe(self._position, COMPLETE, SWITCHING_PROTOCOLS, monotonic())
        if self._attempt > 1:
            # However long the tunnel lasts, its place in the budget of retries is free.
            self.pool.retries.active -= 1
        client_end, backend_end = _End(self, client.transport), _End(self, connection.transport)
        client_end.other, backend_end.other = backend_end, client_end
        self._client_end = client_end
        connection.transport.set_protocol(backend_end)
        early = client.hand_over(client_end)
        self.alive()
        if not connection.write_paused:
            client_end.resume_reading()
        # Through the ends, so that the bytes are counted.
        client_end.write(head)
        if data:
            backend_end.data_received(data)
        if early:
            client_end.data_received(early)

    def observe(self, position: int, outcome: int, status: int, now_s: float) -> None:
        """Tell a policy that measures about the answer, when it comes; of a tunnel's end it could learn nothing."""
        if self._client_end is None:
            super().observe(position, outcome, status, now_s)

    def alive(self) -> None:
        """Something has come through the tunnel, or one end has closed."""
        end = self._client_end
        assert end is not None
        half_closed = end.ended or end.other.ended
        # An end that is left alone has as long as a client between two requests.
        limit_s = min(self._idle_s, self.client.worker.idle_s) if half_closed else self._idle_s
        self.client.deadline_s = monotonic() + limit_s

    def lost(self, end: "_End", exc: Exception | None) -> None:
        """A connection is gone; with the second one the exchange is over."""
        other = end.other
        broken = exc is not None and not end.ended
        if broken and not other.ended and self._tunnel_outcome == COMPLETE:
            self._tunnel_outcome = Outcome.CLIENT_GONE if end is self._client_end else Outcome.TRUNCATED
        end.ended = end.gone = True
        if not other.gone:
            if broken:
                other.reset()
            else:
                other.close()
            self.alive()
            return
        client, client_end = cast("ClientConnection", self.client), self._client_end
        assert client_end is not None
        self._over = True
        self.request_bytes, self.response_bytes = client_end.received, client_end.other.received
        if self._attempt > 1:
            self.pool.retries.active += 1  # which the end of every further attempt takes off
        self._settle(self._tunnel_outcome, self._status, monotonic())
        client.exchange = None
        client.connection_lost(exc)  # it has not heard of it: the end stands in its place

    def timed_out(self, now_s: float) -> None:
        """The answer or the tunnel has taken too long."""
        client_end = self._client_end
        if client_end is None:
            super().timed_out(now_s)
            return
        if not client_end.ended and not client_end.other.ended:
            self._tunnel_outcome = Outcome.CLIENT_TIMEOUT
        client_end.abort()
        client_end.other.abort()


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

    def __init__(self, tunnel: UpgradeExchange, transport: asyncio.Transport) -> None:
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
