"""A client's TCP connection and the one to its backend: bytes go both ways as they come, until both have ended."""

import asyncio
import logging
from collections.abc import Mapping
from typing import cast

from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.exchange.reset import reset
from smartlb.exchange.states import OVER
from smartlb.layer4.session import NEVER_S, Session
from smartlb.ports.upstream import Attempt
from smartlb.upstream.pool import Pool
from smartlb.wire.client_hello import NotAClientHello, server_name
from smartlb.wire.forwarding import TrustedNetworks
from smartlb.wire.proxy_protocol import Endpoints

log = logging.getLogger(__name__)

_AT_ONCE_S = 1.0
"""A backend that closes within this time of its connection, and has heard nothing, did not want it; later, it had
waited for the client."""


class Destination:
    """The pool of a listener's connections, or one pool for each host that a TLS greeting may name.

    Args:
        default: of connections that no host matches; None closes them.
        by_host: pools by host; ``*.example.com`` stands for all subdomains.
    """

    def __init__(self, default: Pool | None, by_host: Mapping[str, Pool]) -> None:
        self.default = default
        self.reads_hello = bool(by_host)
        self._exact = {host: pool for host, pool in by_host.items() if not host.startswith("*.")}
        self._below = {host[2:]: pool for host, pool in by_host.items() if host.startswith("*.")}

    def pool(self, host: str) -> Pool | None:
        """The pool of a host, by its own name or by the closest domain above it."""
        if host in self._exact:
            return self._exact[host]
        domain = host
        while domain:
            domain = domain.partition(".")[2]
            if domain in self._below:
                return self._below[domain]
        return self.default


class TcpSession(Session, asyncio.Protocol):
    """The client's side, which holds both together.

    Where one side ends its stream (FIN), the other is told and may go on sending. Where one breaks off (RST), so does
    the router on the other, which must not take what it got for all. When one side takes bytes more slowly than the
    other sends them, the other is not read from.

    TLS cannot be ended in one direction, as far as `ssl` is concerned: where it is on either side, the end of one is
    the end of both.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        front: Front,
        route: int,
        destination: Destination,
        trusted: TrustedNetworks,
        claimed: Endpoints | None = None,
    ) -> None:
        super().__init__(front, route)
        self.method = b"TCP"
        self._trusted = trusted
        self._destination: Destination | None = destination  # None once the pool is chosen
        self._claimed = claimed
        self._early = b""  # what the client sent before there was a backend
        self._backend: TcpBackend | None = None
        self._client_ended = False
        self._client_lost = False
        self._joined_s = 0.0  # when the client's silence began: 0 before there is a backend and once the client spoke

    @property
    def endpoints(self) -> Endpoints | None:
        """Who connected to what: as a PROXY header had it, or else as the sockets say."""
        about = self.transport.get_extra_info
        return self._claimed or Endpoints.of_sockets(about("peername"), about("sockname"))

    @property
    def trusted(self) -> bool:
        """Whether the client is a proxy, which has many clients of its own."""
        return self.address in self._trusted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        endpoints = self.endpoints
        self.address = endpoints.source if endpoints else ""
        destination = self._destination
        assert destination is not None
        if not self.front.admission.admit_tcp(self):
            self.enter(OVER)
            self.transport.abort()
        elif destination.reads_hello:
            self.deadline_s = self.now() + self.services.header_s
        else:
            assert destination.default is not None
            self._destination = None
            self.begin(destination.default, self.now())

    # From the client

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sends."""
        backend = self._backend
        if backend is None:
            self._take_early(data)
            return
        if self.over:
            return
        now_s = self.now()
        if self._joined_s:
            self._client_spoke(now_s)
        self.request_bytes += len(data)
        self.deadline_s = now_s + self.services.tcp_idle_s
        backend.transport.write(data)

    def _client_spoke(self, now_s: float) -> None:
        """The backend may have waited for the client's first bytes."""
        if not self.first_byte_s:
            self.attempt.quiet_s = now_s - self._joined_s
        self._joined_s = 0.0

    def _take_early(self, data: bytes) -> None:
        """Keep what comes before there is a backend; it may say which pool is wanted."""
        if self.over:
            return
        self._early += data
        if self._destination is None:
            self.transport.pause_reading()
            return
        try:
            host = server_name(self._early)
        except NotAClientHello as error:
            log.debug("connection from %s is no TLS that can be routed: %s", self.address, error)
            self._refuse_unrouted(Outcome.BAD_REQUEST)
            return
        if host is None:
            return
        self.target = host.encode()
        pool = self._destination.pool(host)
        if pool is None:
            self._refuse_unrouted(Outcome.NO_ROUTE)
            return
        self._destination = None
        self.transport.pause_reading()
        self.begin(pool, self.now())

    def _refuse_unrouted(self, outcome: Outcome) -> None:
        self.enter(OVER)
        self.services.record_refused(outcome, 0, self.address, self.method, self.target)
        self.transport.abort()

    def eof_received(self) -> bool:
        """The client sends no more; it may still want the answer."""
        self._client_ended = True
        if self.over:
            self.transport.close()
            return False
        if self._destination is not None:
            self._refuse_unrouted(Outcome.CLIENT_GONE)
            return False
        backend = self._backend
        if backend is not None:
            if self._joined_s:
                self._client_spoke(self.now())
            self._end_backend(backend)
        return self.transport.can_write_eof()

    def _end_backend(self, backend: "TcpBackend") -> None:
        """Tell the backend that the client sends no more."""
        if backend.ended:
            self._complete()
        elif self._half_closes(backend):
            _end_stream(backend.transport)
        else:
            self.end(Outcome.COMPLETE if self.first_byte_s else Outcome.CLIENT_GONE, self.now())
            self._close()

    def _half_closes(self, backend: "TcpBackend") -> bool:
        return self.transport.can_write_eof() and backend.transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client is slow: read no more from the backend."""
        if self._backend is not None:
            self._backend.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        backend = self._backend
        self.deadline_s = self.now() + self.services.tcp_idle_s
        if backend is not None and not backend.ended and not self.over:
            backend.transport.resume_reading()

    def read_on(self) -> None:
        """The backend has caught up."""
        if not self.over:
            self.deadline_s = self.now() + self.services.tcp_idle_s
            if not self._client_ended:
                self.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client broke off, or all is over."""
        self._client_lost = True
        backend = self._backend
        if not self.over:
            if self._destination is not None:
                self._refuse_unrouted(Outcome.CLIENT_GONE)
            else:
                self.end(Outcome.CLIENT_GONE, self.now())
        if backend is None or backend.lost:
            self.front.admission.left(self)
        elif not backend.transport.is_closing():
            reset(backend.transport)

    # From the backend

    def open(self, attempt: Attempt) -> None:
        """Connect to the attempt's backend."""
        self.pool.connections.connect(attempt, lambda: TcpBackend(self))

    def joined(self, backend: "TcpBackend") -> None:
        """There is a connection to the backend."""
        if self.over:
            backend.transport.abort()
            return
        now_s = self.now()
        self._backend = backend
        self.reached()
        self.deadline_s = now_s + self.services.tcp_idle_s
        early, self._early = self._early, b""
        self.request_bytes += len(early)
        if not early:
            self._joined_s = now_s
        if not self._client_ended:
            self.transport.resume_reading()  # first, for the backend may be slow to take what is written now
        if early:
            backend.transport.write(early)
        if self._client_ended:
            self._end_backend(backend)

    def connected(self, _attempt: Attempt, _connection: "TcpBackend") -> bool:
        """Nothing more to do: `joined` came first, so that no byte of the backend was missed."""
        return True

    def connect_failed(self, attempt: Attempt, outcome: Outcome) -> None:
        """The backend could not be reached; nothing to do where it was, and broke off at once."""
        if self._backend is None:
            super().connect_failed(attempt, outcome)

    def answered(self, size: int) -> None:
        """Count bytes of the backend."""
        now_s = self.now()
        if not self.first_byte_s:
            self.first_byte_s = now_s
        self.response_bytes += size
        self.deadline_s = now_s + self.services.tcp_idle_s

    def backend_ended(self) -> None:
        """The backend sends no more."""
        if self.over:
            return
        if not self.first_byte_s:
            now_s = self.now()
            if not self._client_ended:
                # It took the connection and did nothing with it, as servers do that are overloaded or shut down; or it
                # has waited for a client that said nothing.
                waited = self._joined_s and now_s - self._joined_s > _AT_ONCE_S
                self.end(Outcome.CLIENT_TIMEOUT if waited else Outcome.RESET, now_s)
                self._close()
                return
            self.first_byte_s = now_s  # its end is all of its answer
        backend = self._backend
        assert backend is not None
        if self._client_ended or not self._half_closes(backend):
            self._complete()
        else:
            _end_stream(self.transport)

    def backend_lost(self) -> None:
        """The backend broke off, or all is over."""
        backend = self._backend
        if self.over:
            pass
        elif backend is not None and backend.ended:
            # It had sent all. What it refuses is what the client has said since.
            self._complete()
        else:
            self.end(Outcome.TRUNCATED if self.response_bytes else Outcome.RESET, self.now())
            reset(self.transport)
        if self._client_lost:
            self.front.admission.left(self)
        elif self._client_ended or not self.transport.can_write_eof():
            self.transport.close()

    # The end

    def _complete(self) -> None:
        """Both sides have ended; what they have not taken yet is still sent, for as long as a silence may last."""
        self.end(Outcome.COMPLETE, self.now())
        self._close()

    def _close(self) -> None:
        now_s = self.now()
        self.deadline_s = now_s + self.services.tcp_idle_s
        if self._backend is not None:
            self._backend.transport.close()
        if self._client_ended or not self.transport.can_write_eof():
            self.transport.close()
        else:
            # Closed before the client has ended too, the connection would be reset by what it still sends, and the end
            # of what it was sent be lost (RFC 1122 section 4.2.2.13). What comes now is dropped.
            _end_stream(self.transport)
            self.transport.resume_reading()
            self.deadline_s = min(self.deadline_s, now_s + self.services.idle_s)

    def end(self, outcome: Outcome, now_s: float) -> None:
        """It is over; a connection that is being opened is not wanted any more."""
        super().end(outcome, now_s)
        connecting = self.attempt.connecting
        if connecting is not None and self._backend is None:
            connecting.cancel()

    def refused(self) -> None:
        """There is no backend for it."""
        self.transport.abort()

    def timed_out(self, now_s: float) -> None:
        """The deadline has passed."""
        if self.over and self._backend is not None and not self.transport.is_closing():
            # The client does not end its side. What it has not taken yet is still sent.
            self.deadline_s = now_s + self.services.tcp_idle_s
            self.transport.close()
            return
        self.deadline_s = NEVER_S
        if self._destination is not None and not self.over:
            self._refuse_unrouted(Outcome.CLIENT_TIMEOUT)
        elif not self.over and self._backend is None:
            self.refuse(Outcome.QUEUE_TIMEOUT, "")
        else:
            if not self.over:
                # A backend that never answered what it got is to blame; otherwise both have nothing to say any more.
                silent = self.request_bytes and not self.first_byte_s
                self.end(Outcome.RESPONSE_TIMEOUT if silent else Outcome.CLIENT_TIMEOUT, now_s)
            if self._backend is not None:
                self._backend.transport.abort()
            self.transport.abort()

    def drain(self, idle_s: float) -> None:  # noqa: ARG002
        """Close what has asked for nothing yet; nobody can tell when the rest is between two requests."""
        if self._destination is not None and not self._early:
            self.enter(OVER)
            self.transport.close()


class TcpBackend(asyncio.Protocol):
    """The backend's side.

    Attributes:
        transport: set once connected.
        ended: whether it sends no more.
        lost: whether the connection is closed.
    """

    transport: asyncio.Transport

    def __init__(self, session: TcpSession) -> None:
        self._session = session
        self.ended = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join it to the client's."""
        self.transport = cast(asyncio.Transport, transport)
        self._session.joined(self)

    def data_received(self, data: bytes) -> None:
        """Pass on what the backend sends."""
        session = self._session
        session.answered(len(data))
        session.transport.write(data)

    def eof_received(self) -> bool:
        """The backend sends no more; it may still read."""
        self.ended = True
        self._session.backend_ended()
        return self.transport.can_write_eof()

    def pause_writing(self) -> None:
        """The backend is slow: read no more from the client."""
        self._session.transport.pause_reading()

    def resume_writing(self) -> None:
        """The backend has caught up."""
        self._session.read_on()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The backend broke off, or all is over."""
        self.lost = True
        self._session.backend_lost()


def _end_stream(transport: asyncio.Transport) -> None:
    """Send what is left, then FIN."""
    if not transport.is_closing():
        transport.write_eof()
