"""Which connections and sessions a worker takes, and which are open."""

import asyncio
from typing import Any, Protocol

from smartlb.limits.client_limit import ClientLimit
from smartlb.limits.stream_limit import StreamLimit


class Admitted(Protocol):
    """A connection or session that counts.

    Attributes:
        deadline_s: when `timed_out` is to be called; monotonic.
    """

    @property
    def deadline_s(self) -> float:
        """When its present phase has taken too long."""

    @property
    def address(self) -> str:
        """The client's IP address."""

    @property
    def trusted(self) -> bool:
        """Whether it is a proxy, which has many clients of its own."""

    @property
    def unfinished(self) -> bool:
        """Whether somebody waits for something on it."""

    def timed_out(self, now_s: float) -> None:
        """The deadline has passed."""

    def drain(self, idle_s: float) -> None:
        """End as soon as nobody waits for anything; see `smartlb.worker.worker.Worker.drain`."""


class Admission:
    """The connections of one worker, within the limits.

    Args:
        most: connections at once.
        most_sessions: UDP sessions at once.
        per_client: connections of one address; None for any number.
        streams: counts requests over connections that carry many.

    Attributes:
        streams: the argument.
        clients: open connections of http listeners.
        tcp_sessions: those of tcp listeners.
        udp_sessions: sessions of udp listeners.
        handshakes: tasks of connections whose PROXY header or TLS handshake is under way.
        refused: connections and sessions that were too many, so far.
        closed: whether there are to be no more sessions.
    """

    def __init__(self, most: int, most_sessions: int, per_client: int | None, streams: StreamLimit) -> None:
        self.streams = streams
        self._most = most
        self._most_sessions = most_sessions
        self._client_limit = ClientLimit(per_client)
        self._handshake_limit = ClientLimit(per_client)
        self.clients: set[Any] = set()
        self.tcp_sessions: set[Any] = set()
        self.udp_sessions: set[Any] = set()
        self.handshakes: set[asyncio.Task[None]] = set()
        self.refused = 0
        self.closed = False

    def _has_room(self, limit: ClientLimit, address: str | None, besides: int = 0) -> bool:
        """Whether one more connection may come from an address; counts where not."""
        if len(self.clients) + len(self.tcp_sessions) + besides >= self._most or limit.full(address):
            self.refused += 1
            return False
        return True

    def admit(self, client: Admitted) -> bool:
        """Count a connection of an http listener in; False when there are too many."""
        return self._admit(client, self.clients)

    def admit_tcp(self, session: Admitted) -> bool:
        """Count a connection of a tcp listener in; False when there are too many."""
        return self._admit(session, self.tcp_sessions)

    def _admit(self, client: Admitted, among: set[Admitted]) -> bool:
        address = _limited(client)
        if not self._has_room(self._client_limit, address):
            return False
        self._client_limit.opened(address)
        among.add(client)
        return True

    def takes_place_of(self, earlier: Admitted, client: Admitted) -> None:
        """Another protocol goes on with a connection that has been counted in."""
        self.clients.discard(earlier)
        self.clients.add(client)

    def left(self, client: Admitted) -> None:
        """Count a connection out; again does nothing."""
        for among in (self.clients, self.tcp_sessions):
            if client in among:
                among.remove(client)
                self._client_limit.closed(_limited(client))

    def admit_udp(self, session: Admitted) -> bool:
        """Count a UDP session in; False when there are too many, or there are to be no more."""
        if self.closed or len(self.udp_sessions) >= self._most_sessions:
            self.refused += 1
            return False
        self.udp_sessions.add(session)
        return True

    def admits(self, address: str | None) -> bool:
        """Whether a connection may begin its handshake; False when there are too many.

        Args:
            address: of the client; None where it is not limited.
        """
        return self._has_room(self._handshake_limit, address, len(self.handshakes))

    def shake_hands(self, task: asyncio.Task[None], address: str | None) -> None:
        """Count a handshake in until its task is done.

        Args:
            task: that does it.
            address: of the client; None where it is not limited.
        """
        self.handshakes.add(task)
        task.add_done_callback(self.handshakes.discard)
        limit = self._handshake_limit
        limit.opened(address)
        task.add_done_callback(lambda _: limit.closed(address))

    @property
    def all(self) -> list[Admitted]:
        """Every open connection and session."""
        return [*self.clients, *self.tcp_sessions, *self.udp_sessions]

    @property
    def idle(self) -> bool:
        """Whether there is nothing that a client waits for."""
        return not (self.clients or self.tcp_sessions or self.udp_sessions or self.handshakes)


def _limited(client: Admitted) -> str | None:
    """The address that a connection counts for; none where it is a proxy's, which has many clients."""
    return None if client.trusted else client.address
