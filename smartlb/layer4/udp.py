"""UDP: what comes from one address and port is a session, which has one backend until both are silent for a while."""

import asyncio
import logging
import socket
from typing import Any, cast

from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.layer4.session import Session
from smartlb.ports.upstream import Attempt
from smartlb.upstream.pool import Pool
from smartlb.wire.proxy_protocol import plain_address

log = logging.getLogger(__name__)

_LONGEST_DATAGRAM = 65_535
_DATAGRAMS_A_TURN = 64
"""How many are read before others have their turn."""

_MOST_EARLY = 16
"""Datagrams that a session keeps while it has no backend yet; further ones are dropped, as a full socket would."""

_MOST_UNSENT = 65_536
"""Bytes that a session keeps while the network does not take them; further datagrams are dropped likewise."""

_IDLE_WHILE_DRAINING_S = 1.0


class UdpListener:
    """Receives the datagrams of one socket, and keeps a session for each source.

    Args:
        front: what all connections share.
        route: number of its route.
        pool: where its sessions go.
        bound: the socket; it stays open as long as there are sessions, since answers leave from it.
        one_way: whether backends answer nothing.
    """

    def __init__(self, front: Front, route: int, pool: Pool, bound: socket.socket, *, one_way: bool) -> None:
        self._front = front
        self._route = route
        self._pool = pool
        self._socket = bound
        self._one_way = one_way
        self._closing = False
        self._sessions: dict[Any, UdpSession] = {}
        self._buffer = memoryview(bytearray(_LONGEST_DATAGRAM))
        self._loop = asyncio.get_running_loop()
        bound.setblocking(False)
        self._loop.add_reader(bound.fileno(), self._receive)

    def close(self) -> None:
        """Receive no more; sessions may still be answered."""
        self._loop.remove_reader(self._socket.fileno())
        self._closing = True
        self._close_unused()

    def _close_unused(self) -> None:
        if self._closing and not self._sessions:
            self._socket.close()

    def _receive(self) -> None:
        buffer, front = self._buffer, self._front
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                size, source = self._socket.recvfrom_into(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("cannot receive: %s", error)
                return
            if not size:
                continue
            session = self._sessions.get(source)
            if session is not None and session.forsaken:
                session.timed_out(front.services.clock.now())
                session = None
            if session is None:
                session = UdpSession(front, self._route, self, source, one_way=self._one_way)
                if not front.admission.admit_udp(session):
                    continue
                self._sessions[source] = session
                session.receive(bytes(buffer[:size]))
                session.begin(self._pool, front.services.clock.now())
            else:
                session.receive(bytes(buffer[:size]))

    def send(self, data: bytes, source: Any) -> None:
        """Answer a client; what the socket does not take is lost, as datagrams may be."""
        try:
            self._socket.sendto(data, source)
        except OSError as error:
            log.debug("a datagram to %s is lost: %s", source, error)

    def forget(self, source: Any) -> None:
        """A session is over."""
        self._sessions.pop(source, None)
        self._close_unused()


class UdpSession(Session):
    """One client's datagrams, to one backend and back.

    Attributes:
        owed_s: when the first datagram was sent that the backend has not answered since; 0 where there is none.
    """

    def __init__(self, front: Front, route: int, listener: UdpListener, source: Any, *, one_way: bool) -> None:
        super().__init__(front, route)
        self.method = b"UDP"
        self.address = plain_address(source[0])
        self._listener = listener
        self._source = source
        self._one_way = one_way
        self._idle_s = front.services.udp_idle_s
        self._backend: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._first: bytes | None = None  # for another backend, where this one turns out not to listen
        self._opening: asyncio.Task[None] | None = None
        self.owed_s = 0.0

    @property
    def forsaken(self) -> bool:
        """Whether the next datagram is better sent to another backend.

        It is where the backend has owed an answer for as long as a silence may last, or is out and owes one, or answers
        nothing anyhow.
        """
        if self._backend is None or not (self._one_way or self.owed_s):
            return False
        out = self.pool.selection.bars(self.attempt.position)
        return out or (self.owed_s > 0.0 and self.now() - self.owed_s > self._idle_s)

    # From the client

    def receive(self, data: bytes) -> None:
        """Pass on a datagram."""
        backend = self._backend
        if backend is None:
            if len(self._early) < _MOST_EARLY:
                self._early.append(data)
            return
        self._first = None
        self.deadline_s = self.now() + self._idle_s
        self._send(backend, data)

    def _send(self, backend: asyncio.DatagramTransport, data: bytes) -> None:
        """Send, unless the network takes datagrams more slowly than they come: then they are lost, as they may be."""
        if cast(asyncio.WriteTransport, backend).get_write_buffer_size() > _MOST_UNSENT:
            return
        self.request_bytes += len(data)
        if not self.owed_s and not self._one_way:
            self.owed_s = self.now()
        backend.sendto(data)

    # From the backend

    def open(self, attempt: Attempt) -> None:
        """Make a socket for the attempt's backend."""
        self.pool.connections.opened += 1
        self._opening = asyncio.get_running_loop().create_task(self._open(attempt, attempt.position))

    async def _open(self, attempt: Attempt, position: int) -> None:
        """Make a socket of its own for the session, by which the backend's answers are known."""
        pool = self.pool
        connections = pool.connections
        try:
            async with asyncio.timeout(pool.settings.timeouts.connect_s):
                _, target = await connections.address(position)
                backend, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: UdpBackend(self, position), remote_addr=target[:2]
                )
        except TimeoutError:
            connections.complain(position, "its name is not resolved in time")
            self.connect_failed(attempt, Outcome.CONNECT_TIMEOUT)
            return
        except (OSError, UnicodeError) as error:
            self.connect_failed(attempt, connections.outcome_of(position, error))
            return
        if self.over:
            backend.abort()
            return
        self._backend = backend
        self.reached()
        self.deadline_s = self.now() + self._idle_s
        early, self._early = self._early, []
        self._first = early[0] if len(early) == 1 else None
        for data in early:
            self._send(backend, data)

    def answered(self, data: bytes) -> None:
        """Pass on a datagram of the backend."""
        now_s = self.now()
        self.owed_s = 0.0
        if not self.first_byte_s:
            self.first_byte_s = now_s
            self._first = None
        self.response_bytes += len(data)
        self.deadline_s = now_s + self._idle_s
        self._listener.send(data, self._source)

    def unreachable(self, position: int) -> None:
        """The backend's host says that nobody listens there (ICMP port unreachable)."""
        if self.over or position != self.attempt.position:
            return
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.abort()
        if self._first is not None and not self.first_byte_s:
            self._early, self._first, self.request_bytes, self.owed_s = [self._first], None, 0, 0.0
            self.pool.connections.complain(position, "nobody listens there")
            self.connect_failed(self.attempt, Outcome.CONNECT_FAILED)
        else:
            self.end(Outcome.RESET if self.first_byte_s else Outcome.CONNECT_FAILED, self.now())

    # The end

    def end(self, outcome: Outcome, now_s: float) -> None:
        """It is over; a further datagram of the client begins another session."""
        super().end(outcome, now_s)
        self._leave()

    def refused(self) -> None:
        """There is no backend for it."""
        self._leave()

    def _leave(self) -> None:
        self._listener.forget(self._source)
        self.front.admission.udp_sessions.discard(self)
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.abort()

    def timed_out(self, now_s: float) -> None:
        """Both sides have been silent, or there was no room for too long."""
        if self._backend is None:
            self.refuse(Outcome.QUEUE_TIMEOUT, "")
            return
        if self._one_way and not self.first_byte_s:
            self.first_byte_s = self.attempt.dispatched_s  # there was nothing to wait for
        self.end(Outcome.COMPLETE if self.first_byte_s else Outcome.RESPONSE_TIMEOUT, now_s)

    def drain(self, idle_s: float) -> None:  # noqa: ARG002
        """Wait for answers under way, but no longer than they take."""
        self._idle_s = min(self._idle_s, _IDLE_WHILE_DRAINING_S)
        if self._backend is not None:
            self.deadline_s = min(self.deadline_s, self.now() + self._idle_s)


class UdpBackend(asyncio.DatagramProtocol):
    """The socket that a session has towards its backend."""

    def __init__(self, session: UdpSession, position: int) -> None:
        self._session = session
        self._position = position

    def datagram_received(self, data: bytes, _address: Any) -> None:
        """Pass on what the backend sends."""
        self._session.answered(data)

    def error_received(self, exc: Exception) -> None:
        """The network or the backend's host refused a datagram."""
        if isinstance(exc, ConnectionRefusedError):
            self._session.unreachable(self._position)
        else:
            log.debug("a datagram to a backend is lost: %s", exc)
