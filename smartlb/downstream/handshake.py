"""What comes before a connection's protocol: PROXY headers and TLS handshakes."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from smartlb.core.outcome import Outcome
from smartlb.downstream.front import Front
from smartlb.downstream.tls import Termination
from smartlb.tls.reason import reason_of
from smartlb.wire.forwarding import TrustedNetworks
from smartlb.wire.proxy_protocol import LONGEST_HEADER, Endpoints, MalformedProxyHeader, parse, plain_address

log = logging.getLogger(__name__)

_MOST_ACCEPTED: Final = 64
"""Connections accepted at a time, between which others are served."""

_PAUSE_S: Final = 1.0

_COMPLAIN_EVERY_S: Final = 10.0

MakeProtocol = Callable[[Endpoints | None], asyncio.Protocol]
"""Makes a client connection's protocol; the argument is what a PROXY header claimed, None where it claimed nothing."""


class HandshakeServer:
    """Accepts connections, and does what comes before their protocol: a PROXY header, a TLS handshake, or both.

    The header is taken from the socket to its last byte and no further, before the connection has a transport, so that
    whatever follows begins as on any other connection.

    `asyncio`'s own servers do not say when a handshake fails, and know no limit of those under way.

    Args:
        front: what all connections share.
        make: makes the protocol of a connection.
        listening: the socket.
        trusted: proxies, which may have any number of connections.
        termination: the router's end of TLS; None where there is none.
        proxies: whether connections have a PROXY header; those of peers that are not trusted are closed then, for they
            could claim any address.
    """

    def __init__(
        self,
        front: Front,
        make: MakeProtocol,
        listening: socket.socket,
        trusted: TrustedNetworks,
        termination: Termination | None,
        *,
        proxies: bool,
    ) -> None:
        self._front = front
        self._make = make
        self._socket = listening
        self._trusted = trusted
        self._proxies = proxies
        self._termination = termination
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        self._complain_at_s = 0.0
        self._unsaid = 0
        listening.setblocking(False)
        if termination is not None:
            termination.context(front.services.clock.now())  # errors are logged now, and the first client need not wait
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more; handshakes under way go on."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        admission = self._front.admission
        for _ in range(_MOST_ACCEPTED):
            try:
                connection, peername = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the queue would wake us again and again.
                log.error("cannot accept connections: %s; trying again in %g s", error.strerror, _PAUSE_S)
                self._loop.remove_reader(self._socket)
                self._paused = self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._socket, self._accept)
                return
            address = plain_address(peername[0])
            if self._proxies and address not in self._trusted:
                self._refuse(connection, address, "it is not in the listener's trusted_proxies")
                continue
            limited = address if address and address not in self._trusted else None
            if not admission.admits(limited):
                connection.close()
            else:
                admission.shake_hands(self._loop.create_task(self._begin(connection, address)), limited)

    async def _begin(self, connection: socket.socket, address: str) -> None:
        """Take a connection as far as its protocol."""
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            claimed = await self._claim(connection) if self._proxies else None
            await self._hand_on(connection, claimed, address)
        except MalformedProxyHeader as error:
            self._refuse(connection, address, str(error))
        except OSError as error:
            log.debug("a connection of %s broke off: %s", address, error)
            connection.close()
        except asyncio.CancelledError:
            connection.close()

    async def _claim(self, connection: socket.socket) -> Endpoints | None:
        """Read the PROXY header.

        Raises:
            MalformedProxyHeader: it is none, or did not come in time.
            ConnectionError: the peer closed the connection.
        """
        try:
            async with asyncio.timeout(self._front.services.header_s):
                data = b""
                while True:
                    # Looked at only: what follows the header is not ours to take.
                    seen = await self._look(connection)
                    if not seen:  # as health checks do that only connect
                        raise ConnectionAbortedError("closed before its PROXY header was complete")
                    before, data = len(data), data + seen
                    header = parse(data)
                    connection.recv((len(data) if header is None else header[0]) - before)
                    if header is not None:
                        return header[1]
        except TimeoutError:
            raise MalformedProxyHeader("its PROXY header did not come in time") from None

    async def _look(self, connection: socket.socket) -> bytes:
        """What a connection has to be read, which stays there; nothing where the peer has ended it."""
        while True:
            try:
                return connection.recv(LONGEST_HEADER, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                readable = asyncio.Event()
                self._loop.add_reader(connection, readable.set)
                try:
                    await readable.wait()
                finally:
                    self._loop.remove_reader(connection)

    async def _hand_on(self, connection: socket.socket, claimed: Endpoints | None, address: str) -> None:
        """Shake hands where the listener has TLS, and give the connection its protocol."""
        front, termination = self._front, self._termination
        tls: dict[str, Any] = {}
        if termination is not None:
            tls = {
                "ssl": termination.context(front.services.clock.now()),
                "ssl_handshake_timeout": front.services.tls_handshake_s,
                # As long as a client may take for the rest of a response on a connection that is closed behind it.
                "ssl_shutdown_timeout": front.services.idle_s,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(claimed), connection, **tls)
        except OSError as error:
            if termination is not None:
                front.tls_handshakes_failed += 1
                client = claimed.source if claimed else address
                termination.report_failed(client, reason_of(error), front.services.clock.now())
            raise
        if termination is not None:
            front.tls_handshakes += 1

    def _refuse(self, connection: socket.socket, address: str, reason: str) -> None:
        """Close a connection, record it, and say why, but not for each of many."""
        connection.close()
        self._front.services.record_refused(Outcome.BAD_REQUEST, 0, address)
        now_s = self._front.services.clock.now()
        if now_s < self._complain_at_s:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more before)" if self._unsaid else ""
        log.warning("connection from %s closed: %s%s", address, reason, more)
        self._complain_at_s = now_s + _COMPLAIN_EVERY_S
        self._unsaid = 0
