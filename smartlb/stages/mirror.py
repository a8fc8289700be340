"""Copies of requests for a pool whose responses nobody gets, such as that of a version which is to be tried out.

A copy is an exchange like any other, with the pool's policy, limits and timeouts; only, it is for nobody.
"""

import logging
from collections.abc import Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING

from smartlb.config.traffic import Mirror as Settings
from smartlb.core.outcome import Outcome
from smartlb.exchange.exchange import Exchange
from smartlb.upstream.pool import Pool
from smartlb.wire.forwarding import Peer
from smartlb.wire.http1 import HeaderBlock

if TYPE_CHECKING:
    from smartlb.worker.worker import Worker

log = logging.getLogger(__name__)


class _Nowhere:
    """Where the responses to copies go."""

    def write(self, data: bytes, /) -> None:
        pass

    def writelines(self, pieces: Iterable[bytes | memoryview], /) -> None:
        pass


_NOWHERE = _Nowhere()


class Shadow:
    """Stands in for the client of a copy.

    Attributes:
        worker, deadline_s, write_paused, transport, address: as `smartlb.ports.requester.Requester` says.
    """

    __slots__ = ("_mirror", "address", "deadline_s", "transport", "worker", "write_paused")

    def __init__(self, mirror: "Mirror", worker: "Worker", address: str) -> None:
        self._mirror = mirror
        self.worker = worker
        self.address = address
        self.deadline_s = float("inf")
        self.write_paused = False
        self.transport = _NOWHERE

    @property
    def endpoints(self) -> None:
        """A copy comes from no connection."""

    def adjust_reading(self) -> None:
        """Nothing is read: the copy was complete when it was made."""

    def expect_body(self, _now_s: float) -> None:
        """Likewise."""

    def answer(self, _outcome: Outcome, _message: str, *, keep_alive: bool, body: bool = True) -> None:  # noqa: ARG002
        """The copy came to nothing; its record says so."""
        self._mirror.forget(self)

    def carried_by(self, exchange: Exchange) -> None:
        """Another exchange goes on with the copy."""
        self._mirror.replace(self, exchange)

    def exchange_over(self, _keep_alive: bool, _now_s: float) -> None:
        """The response has come, and is gone."""
        self._mirror.forget(self)

    def abort_exchange(self, *, at_once: bool) -> None:  # noqa: ARG002
        """Half of it has."""
        self._mirror.forget(self)


class Mirror:
    """Makes the copies of one route's requests in one worker.

    Args:
        settings: of the configuration.
        pools: by name.
        random: decides which requests are copied.

    Attributes:
        max_body_bytes: of a request that may be copied.
        made: copies so far.
        dropped: copies not made because too many were under way, so far.
    """

    def __init__(self, settings: Settings, pools: Mapping[str, Pool], random: Random) -> None:
        self._pool = pools[settings.pool]
        self._share = settings.share
        self._random = random.random
        self._most = settings.max_in_flight
        self._under_way: dict[Shadow, Exchange] = {}
        self.max_body_bytes = settings.max_body_bytes
        self.made = self.dropped = 0

    def wants(self) -> bool:
        """Whether to copy the next request."""
        return self._share >= 1.0 or self._random() < self._share

    def send(self, original: Exchange, data: bytes, peer: Peer, block: HeaderBlock) -> None:
        """Send a copy of a request whose bytes are `data`; whatever goes wrong, the original does not notice."""
        if len(self._under_way) >= self._most:
            self.dropped += 1
            return
        pool = self._pool
        shadow = Shadow(self, original.client.worker, peer.address)
        try:
            exchange = Exchange(
                shadow,
                pool,
                original.method,
                original.target,
                block,
                original.route,
                original.request_class,
                original.request_id,
                pool.request_key(peer, original.target, block),
                original.arrived_s,
            )
            exchange.request_complete = True
            exchange.request_bytes = original.request_bytes
            self._under_way[shadow] = exchange
            self.made += 1
            exchange.start(data)
        except Exception:
            log.exception("internal error while mirroring a request to pool %s", pool.name)
            self.forget(shadow)

    def replace(self, shadow: Shadow, exchange: Exchange) -> None:
        """Another exchange goes on with a copy."""
        self._under_way[shadow] = exchange

    def forget(self, shadow: Shadow) -> None:
        """A copy is over."""
        self._under_way.pop(shadow, None)

    def sweep(self, now_s: float) -> None:
        """End copies that have taken too long."""
        for shadow, exchange in list(self._under_way.items()):
            # The end of one before may have ended this one, or let it have a backend.
            if shadow.deadline_s < now_s and shadow in self._under_way:
                exchange.timed_out(now_s)
