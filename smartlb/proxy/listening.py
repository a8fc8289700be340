"""Listeners that are more than plain HTTP: TCP, UDP, and connections that begin with a PROXY header."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from smartlb.config.model import Listener
from smartlb.core.outcome import Outcome
from smartlb.proxy.client import ClientConnection
from smartlb.proxy.forwarding import TrustedNetworks
from smartlb.proxy.proxy_protocol import LONGEST_HEADER, Endpoints, MalformedProxyHeader, parse, plain_address
from smartlb.proxy.tcp import Destination, TcpSession
from smartlb.proxy.udp import UdpListener

if TYPE_CHECKING:
    from smartlb.proxy.worker import Worker

log = logging.getLogger(__name__)

_BACKLOG = 4096
_ACCEPTS_A_TURN = 64
_ACCEPT_AGAIN_S = 0.1
_MOST_GREETINGS = 4096
_COMPLAIN_EVERY_S = 10.0

MakeProtocol = Callable[[Endpoints | None], asyncio.Protocol]
"""Makes a client connection's protocol; the argument is what a PROXY header claimed, None where it claimed nothing."""


class Listening(Protocol):
    """A listener at work."""

    def close(self) -> None:
        """Take no more."""


async def listen(worker: "Worker", listener: Listener, route: int, bound: socket.socket) -> Listening:
    """Serve a listener.

    Args:
        worker: who serves it.
        listener: of the configuration.
        route: its number, for tcp and udp.
        bound: its socket, which listens already where it is one of TCP.
    """
    if listener.protocol == "udp":
        assert listener.pool is not None
        return UdpListener(worker, route, worker.pool(listener.pool), bound, one_way=listener.one_way)
    trusted = TrustedNetworks(listener.trusted_proxies)
    make: MakeProtocol
    if listener.protocol == "tcp":
        default = worker.pool(listener.pool) if listener.pool is not None else None
        destination = Destination(default, {host: worker.pool(pool) for host, pool in listener.sni.items()})
        make = partial(TcpSession, worker, route, destination)
    else:
        make = partial(ClientConnection, worker, trusted)
    if listener.proxy_protocol:
        return ProxyProtocolServer(worker, trusted, make, bound)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: make(None), sock=bound, backlog=_BACKLOG)


class ProxyProtocolServer:
    """Accepts connections, reads the PROXY header that each begins with, and hands them on to their protocol.

    The header is taken from the socket to its last byte and no further, before the connection has a transport, so that
    whatever follows begins as on any other connection.

    Args:
        worker: who serves it.
        trusted: peers whose word is believed; all others are closed, for they could claim any address.
        make: makes the protocol of a connection.
        listening: the socket.
    """

    def __init__(
        self, worker: "Worker", trusted: TrustedNetworks, make: MakeProtocol, listening: socket.socket
    ) -> None:
        self.worker = worker
        self._trusted = trusted
        self._make = make
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._greetings: set[_Greeting] = set()
        self._handed_on: set[asyncio.Task[object]] = set()
        self._complain_at_s = 0.0
        self._unsaid = 0
        listening.setblocking(False)
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and close what has not said yet whose connection it is."""
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for greeting in list(self._greetings):
            greeting.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                connection, peername = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # As a rule there are too many open files, and the connection still waits: try again, but not at once.
                self._complain(f"cannot accept connections: {error}")
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(_ACCEPT_AGAIN_S, self._accept_again)
                return
            address = plain_address(peername[0])
            if address not in self._trusted:
                self.refuse(connection, address, "it is not in the listener's trusted_proxies")
            elif len(self._greetings) >= _MOST_GREETINGS:
                self.refuse(connection, address, f"{_MOST_GREETINGS} others have not sent their PROXY header yet")
            else:
                connection.setblocking(False)
                self._greetings.add(_Greeting(self, self._loop, connection, address))

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def refuse(self, connection: socket.socket, address: str, reason: str) -> None:
        """Close a connection, record it, and say why."""
        connection.close()
        self.worker.record_refused(Outcome.BAD_REQUEST, 0, address)
        self._complain(f"connection from {address} closed: {reason}")

    def _complain(self, message: str) -> None:
        """Warn, but not for each of many connections."""
        now_s = monotonic()
        if now_s < self._complain_at_s:
            self._unsaid += 1
            return
        log.warning("%s%s", message, f" ({self._unsaid} more warnings before)" if self._unsaid else "")
        self._complain_at_s = now_s + _COMPLAIN_EVERY_S
        self._unsaid = 0

    def forget(self, greeting: "_Greeting") -> None:
        """A greeting is over."""
        self._greetings.discard(greeting)

    def hand_on(self, connection: socket.socket, claimed: Endpoints | None) -> None:
        """Give a connection its protocol."""
        task: asyncio.Task[object] = self._loop.create_task(self._begin(connection, claimed))
        self._handed_on.add(task)
        task.add_done_callback(self._handed_on.discard)

    async def _begin(self, connection: socket.socket, claimed: Endpoints | None) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(claimed), connection)
        except OSError as error:
            log.debug("a connection broke off behind its PROXY header: %s", error)
            connection.close()


class _Greeting:
    """A connection whose PROXY header is yet to come, or to be completed."""

    __slots__ = ("_address", "_connection", "_data", "_loop", "_server", "_timer")

    def __init__(
        self, server: ProxyProtocolServer, loop: asyncio.AbstractEventLoop, connection: socket.socket, address: str
    ) -> None:
        self._server = server
        self._loop = loop
        self._connection = connection
        self._address = address
        self._data = b""
        self._timer = loop.call_later(server.worker.header_s, self._late)
        loop.add_reader(connection.fileno(), self._read)

    def _read(self) -> None:
        connection, before = self._connection, len(self._data)
        try:
            # Looked at only: what follows the header is not ours to take.
            seen = connection.recv(LONGEST_HEADER, socket.MSG_PEEK)
            if not seen:
                self.close()  # as health checks do that only connect
                return
            data = self._data + seen
            header = parse(data)
            taken = len(data) if header is None else header[0]
            connection.recv(taken - before)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        except MalformedProxyHeader as error:
            self._leave()
            self._server.refuse(connection, self._address, str(error))
            return
        if header is None:
            self._data = data
            return
        self._leave()
        self._server.hand_on(connection, header[1])

    def _late(self) -> None:
        self._leave()
        self._server.refuse(self._connection, self._address, "its PROXY header did not come in time")

    def _leave(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._connection.fileno())
        self._server.forget(self)

    def close(self) -> None:
        """Give up on it."""
        self._leave()
        self._connection.close()
