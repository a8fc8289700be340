"""A pool as one worker sees it: who may be picked, what is in flight, which connections are idle, who waits."""

import asyncio
import errno
import logging
import socket
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Pool as PoolSettings
from smartlb.config.numbering import Member, Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.core.view import PoolView, explore_sums, running_sums
from smartlb.policies.policy import Members, Policy
from smartlb.policies.registry import POLICIES
from smartlb.tls.backends import reloading_backend_context
from smartlb.tls.reason import reason_of
from smartlb.upstream.hedging import Hedging
from smartlb.upstream.http1 import BackendConnection
from smartlb.upstream.http2 import Http2Backends
from smartlb.upstream.queue import WaitQueue
from smartlb.upstream.retries import Retries
from smartlb.upstream.slow_start import SlowStart
from smartlb.wire.forwarding import Peer, address_key
from smartlb.wire.proxy_protocol import Endpoints, encode

if TYPE_CHECKING:
    from smartlb.wire.http1 import HeaderBlock

log = logging.getLogger(__name__)

NOBODY: Final = -1
"""`Pool.choose` found no eligible backend."""

ALL_FULL: Final = -2
"""`Pool.choose` found every eligible backend at its limit."""

_SHARED_COUNTS_AGE_S: Final = 0.0005
"""How old other workers' in-flight counts may be when a backend is picked."""

_OWN_SHORTAGES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""What the router's machine has run out of when it cannot connect: no fault of the backend."""

_MOST_CONNECTING: Final = 64
"""Attempts at connections, from which on those are given up whose requests are."""

_COMPLAIN_EVERY_S: Final = 10.0

FALLBACK: Final = "weighted_least_connections"
"""What serves a learned pool while there is no fresh snapshot."""


class Connecting(Protocol):
    """For whom a connection to a backend is opened."""

    @property
    def endpoints(self) -> Endpoints | None:
        """The client's connection, for a PROXY header."""

    def connected(self, connection: Any) -> bool:
        """It is there; False when it is no longer needed."""

    def connect_failed(self, outcome: Outcome) -> None:
        """None could be made; the log says why."""


class Chooser:
    """A policy with its options and memory, ready to be asked."""

    def __init__(self, policy: Policy, options: Any, members: Members, random: Callable[[], float]) -> None:
        self._policy = policy
        self._options = options
        self.pick = policy.pick
        self.memory = policy.remember(members, options)
        self.observe = policy.observe
        self.key = policy.key
        self.draws = _draws(policy.draws(options), random)

    def renew(self, members: Members, same: Sequence[int]) -> None:
        """Go on with other members; `same` are the positions of backends that are still the same."""
        self.memory = self._policy.renew(self.memory, members, self._options, same)


def _draws(count: int, random: Callable[[], float]) -> Callable[[], tuple[float, ...]]:
    if count == 0:
        return lambda: ()
    if count == 1:
        return lambda: (random(),)
    if count == 2:
        return lambda: (random(), random())
    if count == 3:
        return lambda: (random(), random(), random())
    return lambda: tuple(random() for _ in range(count))


def _row_array(rows: npt.NDArray[np.float64]) -> "array[float]":
    """Rows one after the other, which both a loop and numpy read without a copy."""
    return array("d", np.ascontiguousarray(rows).tobytes())


class Pool:
    """One pool of one worker.

    Attributes:
        name: of the configuration.
        settings: of the configuration.
        request_s, attempt_s: the timeouts that every request needs, at hand.
        first: index over all pools of the pool's first backend.
        observe, memory: of the policy, where it measures; called with each outcome.
        view: what the policy may look at.
        on_fallback: whether a learned pool is served by `FALLBACK` now.
        retries: which there may be, and how many there are.
        hedging: likewise; None where nothing is hedged.
        connects: connections opened to backends, successfully or not, so far.
        waiting: what waits for room.
        key: of what in a request the policy wants a hash: ``none``, ``client_ip`` or ``url``.
        upgrades: protocols that are tunnelled, in lower case.
        affinity_kept, affinity_lost: picks for requests bound to a backend that it got, and that another one got, so
            far.
    """

    __slots__ = (
        "_address",
        "_alone",
        "_chooser",
        "_complain_at_s",
        "_connecting",
        "_draws",
        "_eligible",
        "_fallback",
        "_http2",
        "_idle",
        "_in_flight",
        "_in_flight_sum",
        "_learned",
        "_limit",
        "_limited",
        "_loop",
        "_members",
        "_most",
        "_most_idle",
        "_own",
        "_pick",
        "_pick_memory",
        "_primary",
        "_proxy_protocol",
        "_refresh_at_s",
        "_segment",
        "_shared_matrix",
        "_slice",
        "_slow_start",
        "_snapshot",
        "_tls",
        "_weight",
        "affinity_kept",
        "affinity_lost",
        "attempt_s",
        "connects",
        "first",
        "hedging",
        "key",
        "memory",
        "name",
        "observe",
        "on_fallback",
        "request_s",
        "retries",
        "settings",
        "upgrades",
        "view",
        "waiting",
    )

    def __init__(
        self,
        name: str,
        settings: PoolSettings,
        numbering: Numbering,
        segment: Segment,
        worker: int,
        random: Random,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.settings = settings
        self.request_s = inf if settings.timeouts.request_s is None else settings.timeouts.request_s
        response_header_s = settings.timeouts.response_header_s
        self.attempt_s = min(settings.retries.attempt_timeout_s or response_header_s, response_header_s)
        members = numbering.pools[name]
        self.first = members.start
        self._slice = slice(members.start, members.stop)
        self._segment = segment
        self._loop = loop
        size = len(members)

        self._members = [numbering.backends[index] for index in members]
        weight = [member.settings.weight for member in self._members]
        described = members_of(self._members)
        chosen = POLICIES[settings.policy.name]
        self._primary = Chooser(chosen, settings.policy.options, described, random.random)
        self.key = chosen.key
        self._learned = chosen.name == "learned"
        fallback = POLICIES[FALLBACK]
        self._fallback = (
            Chooser(fallback, fallback.options(), described, random.random) if self._learned else self._primary
        )
        self._slow_start = SlowStart(settings.slow_start_s, weight)
        self._use(self._fallback)
        self.observe, self.memory = self._primary.observe, self._primary.memory
        self.on_fallback = self._learned

        self._in_flight = array("i", bytes(4 * size))
        self._in_flight_sum = np.frombuffer(self._in_flight, dtype=np.int32)
        self._own = segment.in_flight_row(worker)[members.start : members.stop]
        self._shared_matrix = segment.in_flight[:, self._slice]
        self._alone = segment.layout.workers == 1
        self._refresh_at_s = 0.0
        self._weight = array("d", weight)
        self._snapshot: Snapshot | None = None
        self._eligible: bytes | None = None
        self.view = self._make_view(np.ones(size, dtype=bool))

        self._most = settings.max_in_flight
        self._take_limits()
        self.waiting = WaitQueue(settings.queue.max_waiting, segment.waiting[:, members.start], worker, loop, random)

        self._address = [_host_and_port(member) for member in self._members]
        http2 = settings.protocol == "http2"
        self._http2 = Http2Backends(self, size, tls=settings.tls is not None) if http2 else None
        self._tls = reloading_backend_context(settings.tls, http2=http2) if settings.tls else None
        if self._tls is not None:
            self._tls.refresh(loop.time())  # errors are logged now, and the first request need not wait
        self._proxy_protocol = settings.send_proxy_protocol
        # A connection that a PROXY header has given to one client is nobody else's.
        self._most_idle = 0 if settings.send_proxy_protocol else settings.idle_connections.max_per_backend
        self._idle: list[deque[BackendConnection]] = [deque() for _ in range(size)]
        self._connecting: set[asyncio.Task[None]] = set()
        self._complain_at_s: dict[int, float] = {}
        self.connects = 0
        self.affinity_kept = self.affinity_lost = 0
        self.retries = Retries(settings.retries)
        self.hedging = Hedging(settings.hedging, loop) if settings.hedging is not None else None
        self.upgrades = frozenset(protocol.lower().encode() for protocol in settings.upgrades)

    # Choosing

    def choose(self, request_class: int, key: int, now_s: float, tried: Sequence[int] = ()) -> int:
        """The position of a backend for a request, `NOBODY` or `ALL_FULL`.

        Args:
            request_class: its number.
            key: hash of what `key` names.
            now_s: monotonic time.
            tried: positions that this request has failed at already.
        """
        if not self._alone and now_s >= self._refresh_at_s:
            self._refresh_at_s = now_s + _SHARED_COUNTS_AGE_S
            self._shared_matrix.sum(axis=0, out=self._in_flight_sum)
        view = self.view
        if tried or self._limited:
            full = self._full() if self._limited else []
            if full and len(full) == len(view.eligible):
                return ALL_FULL
            if tried or full:
                view = self._without(view, chain(tried, full))
                if not view.eligible:
                    return ALL_FULL if full else NOBODY
        if not view.eligible:
            return NOBODY
        return self._pick(view, self._pick_memory, request_class, key, now_s, self._draws())

    def request_key(self, peer: "Peer", target: bytes, block: "HeaderBlock") -> int:
        """What `choose` wants to know of a request."""
        return 0 if self.key == "none" else peer.key(self.key, target, block)

    def address_key(self, address: str) -> int:
        """What `choose` wants to know of a TCP connection or UDP session from a client's address."""
        return address_key(address) if self.key == "client_ip" else 0

    def response_line(self, _key: int, _position: int) -> bytes:
        """What to add to the head of a response: a header line with its CRLF, or nothing.

        Args:
            key: as `choose` got it.
            position: of the backend that answered.
        """
        return b""

    def _full(self) -> Sequence[int]:
        if self._most is not None and sum(self._in_flight) >= self._most:
            return self.view.eligible
        return [
            position
            for position in self.view.eligible
            if (limit := self._limit[position]) is not None and self._in_flight[position] >= limit
        ]

    def has_room_besides(self, tried: Sequence[int]) -> bool:
        """Whether a request at a backend could go to one that is not in `tried` instead."""
        if self._most is not None and (self.waiting or sum(self._in_flight) > self._most):
            # The place in the pool that it would leave is not its own any more.
            return False
        limit, in_flight = self._limit, self._in_flight
        return any(
            position not in tried and ((most := limit[position]) is None or in_flight[position] < most)
            for position in self.view.eligible
        )

    def _without(self, view: PoolView, positions: Iterable[int]) -> PoolView:
        mask = np.asarray(view.barred) == 0.0
        mask[list(positions)] = False
        return self._make_view(mask)

    def _make_view(self, eligible: Any) -> PoolView:
        snapshot = self._snapshot
        draw: Sequence[float]
        explore: Sequence[float]
        base_s: Sequence[float]
        slope_s: Sequence[float]
        if snapshot is None:
            # The fallback does not look at the learned rows; a learned policy is not asked without a snapshot.
            draw = explore = base_s = slope_s = ()
        else:
            own = self._slice
            draw = _row_array(running_sums(snapshot.weight[:, own], eligible))
            explore = _row_array(explore_sums(snapshot.explore[:, own], eligible))
            base_s, slope_s = _row_array(snapshot.base_s[:, own]), _row_array(snapshot.slope_s[:, own])
        barred = np.where(eligible, 0.0, np.inf)
        return PoolView(
            eligible=array("i", np.flatnonzero(eligible).astype(np.int32).tobytes()),
            barred=array("d", barred.tobytes()),
            in_flight=self._in_flight,
            weight=self._weight,
            draw=draw,
            explore=explore,
            base_s=base_s,
            slope_s=slope_s,
        )

    def label(self, position: int) -> str:
        """What a backend is called."""
        return self._members[position].settings.label

    def seat(self, members: Sequence[Member]) -> None:
        """Take in what discovery has found; `update` is to be called afterwards.

        Connections under way go on. The policy forgets what it knew of a position that has another backend now.
        """
        changed = [member for member in members if self._members[member.position] != member]
        if not changed:
            return
        before = [member.tenancy for member in self._members]
        for member in changed:
            position = member.position
            if member.tenancy != before[position] or member.vacant:
                self._leave(position)
                self._address[position] = _host_and_port(member)
                self._complain_at_s.pop(position, None)
            self._members[position] = member
            # A view that is in use keeps its weights; the next one has these.
        self._weight = array("d", [member.settings.weight for member in self._members])
        self._take_limits()
        described = members_of(self._members)
        same = [at for at, member in enumerate(self._members) if member.present and member.tenancy == before[at]]
        self._slow_start.reweigh(self._weight)
        for chooser in {self._primary, self._fallback}:
            chooser.renew(described, same)
        self.memory = self._primary.memory
        self._use(self._chooser)

    def _take_limits(self) -> None:
        self._limit = [member.settings.max_in_flight for member in self._members]
        self._limited = any(limit is not None for limit in (*self._limit, self._most))

    def update(self, snapshot: Snapshot | None, now_s: float) -> None:
        """Take in the shared eligibility and a snapshot; None where there is no fresh one."""
        self._snapshot = snapshot if self._learned else None
        eligible = self._segment.eligible[self._slice].copy()
        if self.settings.discovery is not None:
            # The segment says nothing of whether there is a backend; see `smartlb.control.eligibility`.
            eligible *= np.array([member.present for member in self._members], dtype=np.uint8)
        self.view = self._make_view(eligible != 0)
        if self._eligible is not None:
            before = np.frombuffer(self._eligible, np.uint8)
            # Not those that a panic brings in: it is there to spare the others.
            self._slow_start.begin(np.flatnonzero((before == 0) & (eligible == 1)).tolist(), now_s)
        self._eligible = eligible.tobytes()
        fall_back = self._learned and snapshot is None
        if fall_back and not self.on_fallback:
            log.warning("pool %s: no fresh snapshot from the learner, %s takes over", self.name, FALLBACK)
        elif self.on_fallback and not fall_back:
            log.info("pool %s: routed by learned weights", self.name)
        self.on_fallback = fall_back
        self._use(self._fallback if fall_back else self._primary)

    def _use(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._pick = self._pick_slowly if self._slow_start else chooser.pick
        self._pick_memory, self._draws = chooser.memory, chooser.draws

    def _pick_slowly(
        self, view: PoolView, memory: Any, request_class: int, key: int, now_s: float, draws: Sequence[float]
    ) -> int:
        """The policy's pick while backends start: what one of them has not earned goes to the others."""
        pick, slow_start = self._chooser.pick, self._slow_start
        slow_start.earn(self.view.eligible, now_s)
        if not slow_start:
            self._use(self._chooser)
        position = pick(view, memory, request_class, key, now_s, draws)
        while not slow_start.spend(position, regardless=len(view.eligible) == 1):
            view = self._without(view, (position,))
            # The same draws would favour the neighbours of the one that was refused.
            position = pick(view, memory, request_class, key, now_s, self._draws())
        return position

    # Counting

    def began(self, position: int) -> int:
        """Count a request in; returns how many the backend had before."""
        before = self._in_flight[position]
        self._in_flight[position] = before + 1
        self._own[position] += 1
        return before

    def ended(self, position: int) -> None:
        """Count a request out, and let one that waits have the room."""
        self._in_flight[position] -= 1
        self._own[position] -= 1
        if self.waiting:
            self.waiting.place_free()

    @property
    def predicts(self) -> bool:
        """Whether the view has what the learner predicts."""
        return self._snapshot is not None

    @property
    def under_way(self) -> int:
        """This worker's requests at backends and in the queue."""
        return sum(self._own) + len(self.waiting)

    # Connections

    def idle_connection(self, position: int) -> BackendConnection | None:
        """The idle connection used last, or None."""
        if self._http2 is not None:
            return self._http2.connection(position)
        idle = self._idle[position]
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def keep(self, connection: BackendConnection, now_s: float) -> None:
        """Keep a connection that nobody needs now for the next exchange."""
        connection.reused = True
        idle = self._idle[connection.position]
        if len(idle) >= self._most_idle:
            connection.transport.close()
            return
        connection.idle_since_s = now_s
        idle.append(connection)

    def forget(self, connection: BackendConnection) -> None:
        """An idle connection was closed."""
        idle = self._idle[connection.position]
        if connection in idle:
            idle.remove(connection)

    def close_idle(self, now_s: float) -> None:
        """Close connections that were idle for too long."""
        oldest = now_s - self.settings.idle_connections.timeout_s
        if self._http2 is not None:
            self._http2.close_idle(oldest, [member.present for member in self._members])
        for member, idle in zip(self._members, self._idle, strict=True):
            _close_older(idle, oldest if member.present else inf)

    def _leave(self, position: int) -> None:
        """Use no connection any more that is to the backend which had a position."""
        if self._http2 is not None:
            self._http2.leave(position)
        _close_older(self._idle[position], inf)

    def address(self, position: int) -> tuple[str, int]:
        """Host and port of a backend."""
        return self._address[position]

    def connect(
        self, position: int, exchange: Connecting, protocol: Callable[[], Any] | None = None
    ) -> asyncio.Task[None] | None:
        """Open a connection for a request; `Exchange.connected` or `Exchange.connect_failed` hears of it.

        Args:
            position: of the backend.
            exchange: hears of it.
            protocol: makes the connection's protocol; the pool's where not given.

        Returns:
            What does it, for `abandon`; None where others share the connection.
        """
        if self._http2 is not None and protocol is None:
            self._http2.connect(position, exchange)
            return None
        self.connects += 1
        version = self._proxy_protocol
        header = encode(version, exchange.endpoints) if version is not None else b""
        task = self._loop.create_task(self._connect(position, exchange, protocol, header))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    def abandon(self, connecting: asyncio.Task[None]) -> None:
        """Nobody waits any more for a connection that is being opened: it is for the next, unless there are many."""
        if len(self._connecting) > _MOST_CONNECTING:
            connecting.cancel()

    async def _connect(
        self, position: int, exchange: Connecting, protocol: Callable[[], Any] | None, header: bytes
    ) -> None:
        address = self._address[position]
        host, port = address
        try:
            arguments = self._tls_arguments(host)
            async with asyncio.timeout(self.settings.timeouts.connect_s):
                if header:
                    # Before all else, a TLS handshake included.
                    arguments["sock"] = await self._begun(host, port, header)
                else:
                    arguments |= {"host": host, "port": port}
                _, connection = await self._loop.create_connection(
                    protocol or (lambda: BackendConnection(self, position)), **arguments
                )
        except TimeoutError:
            self.complain(position, "no answer to the connection attempt")
            exchange.connect_failed(Outcome.CONNECT_TIMEOUT)
        except (OSError, UnicodeError) as error:
            exchange.connect_failed(self.outcome_of(position, error))
        else:
            if connection.transport.is_closing():
                self.complain(position, "it closed the connection at once")
                exchange.connect_failed(Outcome.CONNECT_FAILED)
            elif not exchange.connected(connection):
                if self._address[position] is address:
                    self.keep(connection, self._loop.time())
                else:
                    connection.transport.close()  # another backend has the position now

    def outcome_of(self, position: int, error: OSError | UnicodeError) -> Outcome:
        """Whose fault it is that there is no connection to a backend; the log says what went wrong."""
        reason = "its host cannot be a name" if isinstance(error, UnicodeError) else reason_of(error)
        if isinstance(error, OSError) and error.errno in _OWN_SHORTAGES:
            self.complain(NOBODY, reason)
            return Outcome.INTERNAL
        self.complain(position, reason)
        return Outcome.CONNECT_FAILED

    async def _begun(self, host: str, port: int, header: bytes) -> socket.socket:
        """A connection on which a header has been sent."""
        failure: OSError = ConnectionError("its name has no address")
        for family, kind, number, _, target in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, number)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._loop.sock_connect(sock, target)
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
        if self._tls is None or self.settings.tls is None:
            return {}
        self._tls.refresh(self._loop.time())
        if self._tls.value is None:
            raise ConnectionError("the router cannot load the certificates of this pool; its log says why")
        return {"ssl": self._tls.value, "server_hostname": self.settings.tls.server_name or host}

    def complain(self, position: int, reason: str) -> None:
        """Log now and then why there is no connection to a backend, or for `NOBODY` to any."""
        now_s = self._loop.time()
        if now_s < self._complain_at_s.get(position, 0.0):
            return
        self._complain_at_s[position] = now_s + _COMPLAIN_EVERY_S
        if position == NOBODY:
            log.error("pool %s: this router cannot connect to its backends: %s", self.name, reason)
        else:
            log.warning("pool %s: cannot connect to backend %s: %s", self.name, self.label(position), reason)


def _close_older(idle: deque[BackendConnection], oldest_s: float) -> None:
    """Close the connections, the oldest first, that have been idle since before a time."""
    while idle and idle[0].idle_since_s < oldest_s:
        idle.popleft().transport.close()


def members_of(members: Sequence[Member]) -> Members:
    """What policies may know of a pool's positions."""
    return Members(
        [member.settings.label if member.present else "" for member in members],
        [member.settings.weight if member.present else 0.0 for member in members],
    )


def _host_and_port(member: Member) -> tuple[str, int]:
    if member.vacant:
        return "", 0
    host, _, port = member.settings.address.rpartition(":")
    return host.strip("[]"), int(port)
