# cython: annotation_typing=False
"""What the connections and exchanges of one worker share: limits, timeouts, the clock, records, counts."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE
from smartlb.core.ring_writer import RingWriter
from smartlb.ports.clock import Clock
from smartlb.wire.pieces import RequestIds

_NEVER: Final = float("nan")


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
        self.access_log: Any = None
        self.header_bytes = self.header_count = self.body_bytes = 0
        self.header_s = self.idle_s = self.tcp_idle_s = self.udp_idle_s = self.tls_handshake_s = 0.0
        self.keep_alive_s = 0.0
        self.draining = False
        self.route_priorities: Sequence[int] = ()
        self.stale_retries = 0

    def record(
        self,
        arrived_s: float,
        queued_s: float,
        first_byte_s: float,
        total_s: float,
        in_flight: int,
        request_bytes: int,
        response_bytes: int,
        backend: int,
        route: int,
        request_class: int,
        status: int,
        outcome: int,
        attempt: int,
        about: Subject,
    ) -> None:
        """Record an attempt, in telemetry and in the access log.

        Args:
            arrived_s, queued_s, first_byte_s, total_s, in_flight, request_bytes, response_bytes, backend, route,
                request_class, status, outcome, attempt: as `smartlb.core.record.RECORD` has them.
            about: what it was, for the access log.
        """
        self._records.write(
            arrived_s,
            queued_s,
            first_byte_s,
            total_s,
            in_flight,
            request_bytes,
            response_bytes,
            backend,
            route,
            request_class,
            status,
            outcome,
            attempt,
        )
        if self.access_log is not None:
            self.access_log.write(
                arrived_s=arrived_s,
                waited_s=queued_s,
                first_byte_s=first_byte_s,
                total_s=total_s,
                in_flight=in_flight,
                request_bytes=request_bytes,
                response_bytes=response_bytes,
                backend=backend,
                route=route,
                request_class=request_class,
                status=status,
                outcome=outcome,
                attempt=attempt,
                method=about.method,
                target=about.target,
                client=about.client,
                request_id=about.request_id,
            )

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
        self.record(
            arrived_s=self.clock.now(),
            queued_s=0.0,
            first_byte_s=_NEVER,
            total_s=0.0,
            in_flight=0,
            request_bytes=0,
            response_bytes=0,
            backend=NO_BACKEND,
            route=route,
            request_class=0,
            status=status,
            outcome=outcome,
            attempt=1,
            about=Refused(method, target, client),
        )
