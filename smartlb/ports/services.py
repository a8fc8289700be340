# cython: annotation_typing=False
"""What the connections and exchanges of one worker share: limits, timeouts, the clock, records, counts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_ROUTE
from smartlb.core.ring_writer import Record, RingWriter
from smartlb.ports.clock import Clock
from smartlb.wire.pieces import RequestIds


class Subject(Protocol):
    """What the access log says of an attempt besides its record.

    Attributes:
        method, target: of the request; of a TCP connection or UDP session its kind, and the host in the TLS greeting.
        client: its IP address.
        request_id: as forwarded.
    """

    @property
    def method(self) -> bytes:
        """Of the request."""

    @property
    def target(self) -> bytes:
        """Of the request."""

    @property
    def client(self) -> str:
        """The client's IP address."""

    @property
    def request_id(self) -> bytes:
        """As forwarded."""


class Refused(NamedTuple):
    """What is known of a request that came to no pool."""

    method: bytes
    target: bytes
    client: str
    request_id: bytes = b""


class Services:
    """What a worker does for all of its connections.

    Args:
        clock: of the data path.
        records: the worker's telemetry ring.
        request_ids: makes the ids of requests.

    Attributes:
        clock, request_ids: the arguments.
        record: to be filled in before `write`; the same one for every attempt, as records do not outlive the call.
        access_log: takes in what is recorded, with what only the log wants; None where there is no log.
        header_bytes, header_count, body_bytes: limits, of the configuration.
        header_s, idle_s, tcp_idle_s, udp_idle_s, tls_handshake_s: timeouts, of the configuration.
        keep_alive_s: how long a connection may be idle between requests; `idle_s` until the worker drains.
        draining: whether connections are closed after their present exchange.
        route_priorities: of each route, in queues.
        stale_retries: requests sent again because an idle connection was closed under them, so far.
    """

    def __init__(self, clock: Clock, records: RingWriter, request_ids: RequestIds) -> None:
        self.clock = clock
        self.request_ids = request_ids
        self._records = records
        self.record = Record()
        self.access_log: Any = None
        self.header_bytes = self.header_count = self.body_bytes = 0
        self.header_s = self.idle_s = self.tcp_idle_s = self.udp_idle_s = self.tls_handshake_s = 0.0
        self.keep_alive_s = 0.0
        self.draining = False
        self.route_priorities: Sequence[int] = ()
        self.stale_retries = 0

    def write(self, about: Subject) -> None:
        """Write `record`, which has been filled in, to telemetry and to the access log; `about` is for the log."""
        self._records.append(self.record)
        if self.access_log is not None:
            self.access_log.write(self.record, about)

    def record_refused(
        self,
        outcome: Outcome,
        status: int,
        client: str,
        method: bytes = b"",
        target: bytes = b"",
        route: int = NO_ROUTE,
    ) -> None:
        """Record a request that came to no pool; method, target and route where they are known."""
        record = self.record
        record.clear(self.clock.now())
        record.route = route
        record.status = status
        record.outcome = outcome
        self.write(Refused(method, target, client))
