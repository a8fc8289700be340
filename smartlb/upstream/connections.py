# cython: annotation_typing=False
"""How requests get to the backends of a pool: connections that are kept, and those that are opened."""

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

from smartlb.config.model import Pool as Settings
from smartlb.config.numbering import Member
from smartlb.core.outcome import Outcome
from smartlb.ports.clock import Clock
from smartlb.ports.upstream import Attempt, Home, Link, Opener
from smartlb.tls.backends import reloading_backend_context
from smartlb.tls.reason import reason_of
from smartlb.upstream.http1 import BackendConnection
from smartlb.upstream.http2 import Http2Backends
from smartlb.upstream.names import Names
from smartlb.wire.proxy_protocol import encode

log = logging.getLogger(__name__)

_NOBODY: Final = -1
"""Instead of a position, where the trouble is no backend's."""

_OWN_SHORTAGES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""What the router's machine has run out of when it cannot connect: no fault of the backend."""

_MOST_CONNECTING: Final = 64
"""Attempts at connections, from which on those are given up whose requests are."""

_COMPLAIN_EVERY_S: Final = 10.0

_ALIVE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 4),
)
"""A backend that has vanished without a word is noticed after two minutes of silence."""


class Connections(Opener):
    """The connections to the backends of one pool in one worker.

    Args:
        name, settings: of the pool.
        members: its positions.
        clock: of the data path.
        names: of the worker.
        loop: of the worker.

    Attributes:
        opened: connections opened, successfully or not, so far.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        members: Sequence[Member],
        clock: Clock,
        names: Names,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._name = name
        self._settings = settings
        self._members = list(members)
        self.clock = clock
        self._names = names
        self._loop = loop
        self._address = [_host_and_port(member) for member in members]
        self._idle: list[deque[Link]] = [deque() for _ in members]
        # A connection that a PROXY header has given to one client is nobody else's.
        self._most_idle = 0 if settings.send_proxy_protocol else settings.idle_connections.max_per_backend
        self._connecting: set[asyncio.Task[None]] = set()
        self._complain_at_s: dict[int, float] = {}
        http2 = settings.protocol == "http2"
        self._http2: Http2Backends | None = None
        if http2:
            self._http2 = Http2Backends(self, len(members), settings.tls is not None, settings.timeouts.connect_s)
        self._tls = reloading_backend_context(settings.tls, http2=http2) if settings.tls else None
        if self._tls is not None:
            self._tls.refresh(clock.now())  # errors are logged now, and the first request need not wait
        self.opened = 0

    # Idle ones

    def idle_connection(self, position: int) -> Link | None:
        """The idle connection used last, or a place on one that is shared; None where there is none."""
        if self._http2 is not None:
            return self._http2.connection(position)
        idle = self._idle[position]
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def keep(self, connection: Link, now_s: float) -> None:
        """Keep a connection that nobody needs now for the next exchange."""
        connection.reused = True
        idle = self._idle[connection.position]
        if len(idle) >= self._most_idle:
            connection.transport.close()
            return
        connection.idle_since_s = now_s
        idle.append(connection)

    def forget(self, connection: Link) -> None:
        """An idle connection was closed."""
        idle = self._idle[connection.position]
        if connection in idle:
            idle.remove(connection)

    def close_idle(self, now_s: float) -> None:
        """Close connections that were idle for too long."""
        oldest = now_s - self._settings.idle_connections.timeout_s
        if self._http2 is not None:
            self._http2.close_idle(oldest, [member.present for member in self._members])
        for member, idle in zip(self._members, self._idle, strict=True):
            _close_older(idle, oldest if member.present else inf)

    # Opening

    def connect(self, attempt: Attempt, protocol: Callable[[], Any] | None = None) -> None:
        """Open a connection for an attempt, whose exchange hears of it by `connected` or `connect_failed`.

        Args:
            attempt: at its position; it gets what does the work as `connecting`, unless others share the connection.
            protocol: makes the connection's protocol; the pool's where not given.
        """
        if self._http2 is not None and protocol is None:
            self._http2.connect(attempt)
            return
        self.opened += 1
        version = self._settings.send_proxy_protocol
        header = encode(version, attempt.exchange.endpoints) if version is not None else b""
        attempt.connecting = task = self._loop.create_task(self._connect(attempt, protocol, header))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def abandon(self, attempt: Attempt) -> None:
        """Nobody waits any more for a connection that is being opened: it is for the next, unless there are many."""
        if attempt.connecting is not None and len(self._connecting) > _MOST_CONNECTING:
            attempt.connecting.cancel()

    async def _connect(self, attempt: Attempt, protocol: Callable[[], Any] | None, header: bytes) -> None:
        position = attempt.position
        address = self._address[position]
        host, port = address
        exchange = attempt.exchange
        try:
            arguments = self._tls_arguments(host)
            async with asyncio.timeout(self._settings.timeouts.connect_s):
                # A PROXY header comes before all else, a TLS handshake included.
                sock = await self._begun(host, port, header)
                make: Any = protocol
                if make is None:
                    make = _maker(self, self.clock, position)
                _, connection = await self._loop.create_connection(make, sock=sock, **arguments)
        except TimeoutError:
            self.complain(position, "no answer to the connection attempt")
            exchange.connect_failed(attempt, Outcome.CONNECT_TIMEOUT)
        except (OSError, UnicodeError) as error:
            exchange.connect_failed(attempt, self.outcome_of(position, error))
        else:
            if connection.transport.is_closing():
                self.complain(position, "it closed the connection at once")
                exchange.connect_failed(attempt, Outcome.CONNECT_FAILED)
            elif not exchange.connected(attempt, connection):
                if self._address[position] is address:
                    self.keep(connection, self.clock.now())
                else:
                    connection.transport.close()  # another backend has the position now

    async def _begun(self, host: str, port: int, header: bytes) -> socket.socket:
        """A connected socket, on which a header has been sent."""
        failure: OSError = ConnectionError("its name has no address")
        for family, target in await self._names.addresses(host, port):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for level, option, value in _ALIVE:
                    if hasattr(socket, option):
                        sock.setsockopt(level, getattr(socket, option), value)
                await self._loop.sock_connect(sock, target)
                if header:
                    await self._loop.sock_sendall(sock, header)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    def _tls_arguments(self, host: str) -> dict[str, Any]:
        """What `create_connection` needs for TLS; nothing where the pool has none."""
        if self._tls is None or self._settings.tls is None:
            return {}
        self._tls.refresh(self.clock.now())
        if self._tls.value is None:
            raise ConnectionError("the router cannot load the certificates of this pool; its log says why")
        return {"ssl": self._tls.value, "server_hostname": self._settings.tls.server_name or host}

    def outcome_of(self, position: int, error: OSError | UnicodeError) -> Outcome:
        """Whose fault it is that there is no connection to a backend; the log says what went wrong."""
        reason = "its host cannot be a name" if isinstance(error, UnicodeError) else reason_of(error)
        if isinstance(error, OSError) and error.errno in _OWN_SHORTAGES:
            self.complain(_NOBODY, reason)
            return Outcome.INTERNAL
        self.complain(position, reason)
        return Outcome.CONNECT_FAILED

    def complain(self, position: int, reason: str) -> None:
        """Log now and then why there is no connection to a backend; a negative position is none's."""
        now_s = self.clock.now()
        if now_s < self._complain_at_s.get(position, 0.0):
            return
        self._complain_at_s[position] = now_s + _COMPLAIN_EVERY_S
        if position < 0:
            log.error("pool %s: this router cannot connect to its backends: %s", self._name, reason)
        else:
            label = self._members[position].settings.label
            log.warning("pool %s: cannot connect to backend %s: %s", self._name, label, reason)

    async def address(self, position: int) -> tuple[int, Any]:
        """Family and address of a backend, the first where its name has several.

        Raises:
            OSError, UnicodeError: it has none.
        """
        return (await self._names.addresses(*self._address[position]))[0]

    # Other backends

    def seat(self, members: Sequence[Member], moved: Sequence[int]) -> None:
        """Go on with other members.

        Args:
            members: of all positions.
            moved: positions whose backend is another one, or gone: what is open to the one before serves nobody.
        """
        for position in moved:
            if self._http2 is not None:
                self._http2.leave(position)
            _close_older(self._idle[position], inf)
            self._address[position] = _host_and_port(members[position])
            self._complain_at_s.pop(position, None)
        self._members = list(members)


def _maker(home: Home, clock: Clock, position: int) -> Callable[[], BackendConnection]:
    return lambda: BackendConnection(home, clock, position)


def _close_older(idle: deque[Link], oldest_s: float) -> None:
    """Close the connections, the oldest first, that have been idle since before a time."""
    while idle and idle[0].idle_since_s < oldest_s:
        idle.popleft().transport.close()


def _host_and_port(member: Member) -> tuple[str, int]:
    if member.vacant:
        return "", 0
    host, _, port = member.settings.address.rpartition(":")
    return host.strip("[]"), int(port)
