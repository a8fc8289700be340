"""The worker's end of the access log: makes lines, and sends them in batches to the supervisor, which appends them."""

import errno
import json
import logging
import socket
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import isfinite

import orjson

from smartlb.config.numbering import Member, Numbering
from smartlb.core.outcome import Outcome
from smartlb.core.ring_writer import Record
from smartlb.ports.services import Subject

log = logging.getLogger(__name__)

_MOST_LINES = 64
_MOST_BYTES = 32_768
"""A batch is sent when it has as many lines or bytes: a datagram of this size fits any system's buffer."""

_LONGEST_TARGET = 2_048
_LONGEST_ID = 128

_encode = orjson.dumps

_OUTCOMES = {int(outcome): _encode(outcome.label) for outcome in Outcome}

_LINE = (
    b'{"time":"%b.%06dZ","arrival_s":%d.%06d,"route":%b,"request_class":%b,%b,"method":%b,"target":%b,"client":%b,'
    b'"request_id":%b,"request_bytes":%d,"response_bytes":%d,"in_flight":%d,"queued_ms":%b,"first_byte_ms":%b,'
    b'"total_ms":%b,"status":%d,"outcome":%b,"attempt":%d}\n'
)
"""What is the same in every line; filling it in costs half of what encoding a dict does."""


class AccessLog:
    """Writes lines, each one JSON object, as docs/operations.md describes it.

    Lines wait until there are enough of them or `flush` is called. The socket never blocks: what it does not take is
    dropped and counted, for traffic does not wait for a disk.

    Args:
        supervisor: a datagram socket.
        numbering: what the numbers of backends, routes and classes mean now.
        monotonic_to_unix_s: gives what to add to a monotonic time to get seconds since 1970. It is asked at every
            `flush`, as it changes when the clock is set.

    Attributes:
        dropped: lines so far that were not sent.
    """

    __slots__ = (
        "_backends",
        "_bytes",
        "_classes",
        "_lines",
        "_no_backend",
        "_no_class",
        "_no_route",
        "_offset_s",
        "_prefix",
        "_routes",
        "_second",
        "_supervisor",
        "_to_unix_s",
        "dropped",
    )

    def __init__(
        self, supervisor: socket.socket, numbering: Numbering, monotonic_to_unix_s: Callable[[], float]
    ) -> None:
        self.dropped = 0
        self._supervisor = supervisor
        self._to_unix_s = monotonic_to_unix_s
        self._offset_s = monotonic_to_unix_s()
        self._second, self._prefix = -1, b""
        self._lines: list[bytes] = []
        self._bytes = 0
        # As they stand in a line. Behind the last one is what there is none of.
        self._routes = [*map(_encode, numbering.routes), b"null"]
        self._classes = [*map(_encode, numbering.classes), b"null"]
        self._backends = [*map(_named, numbering.backends), b'"pool":null,"backend":null']
        self._no_route = len(numbering.routes)
        self._no_class = len(numbering.classes)
        self._no_backend = len(numbering.backends)

    def seat(self, members: Iterable[Member]) -> None:
        """Take in which backends have which numbers from now on."""
        for member in members:
            self._backends[member.index] = _named(member)

    def write(self, record: Record, about: Subject) -> None:
        """Add the line of one attempt at a request; never waits and never raises.

        Args:
            record: of the attempt.
            about: what it was; a long target or id is cut.
        """
        try:
            # Rounded once, so that both ways to write it say the same.
            second, fraction = divmod(round((record.arrived_s + self._offset_s) * 1e6), 1_000_000)
            if second != self._second:
                self._second = second
                self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
            line = _LINE % (
                self._prefix,
                fraction,
                second,
                fraction,
                self._routes[min(record.route, self._no_route)],
                self._classes[min(record.request_class, self._no_class)],
                self._backends[min(record.backend, self._no_backend)],
                _text(about.method),
                _text(about.target[:_LONGEST_TARGET]),
                _encode(about.client),
                _text(about.request_id[:_LONGEST_ID]),
                record.request_bytes,
                record.response_bytes,
                record.in_flight,
                _milliseconds(record.queued_s),
                _milliseconds(record.first_byte_s),
                _milliseconds(record.total_s),
                record.status,
                _OUTCOMES[record.outcome],
                record.attempt,
            )
            if not line.isascii():
                line = _escaped(line)
        except Exception:  # a request is not to fail because its line does
            if not self.dropped:
                log.exception("internal error in a line of the access log, which is dropped")
            self.dropped += 1
            return
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) >= _MOST_LINES or self._bytes >= _MOST_BYTES:
            self._send()

    def flush(self) -> None:
        """Send what waits."""
        self._offset_s = self._to_unix_s()
        if self._lines:
            self._send()

    def _send(self) -> None:
        lines, self._lines, self._bytes = self._lines, [], 0
        self._send_all(lines)

    def _send_all(self, lines: list[bytes]) -> None:
        try:
            self._supervisor.send(b"".join(lines))
        except OSError as error:
            if error.errno == errno.EMSGSIZE and len(lines) > 1:
                middle = len(lines) // 2
                self._send_all(lines[:middle])
                self._send_all(lines[middle:])
            else:
                # The log's writer is behind or gone.
                self.dropped += len(lines)


def _named(member: Member) -> bytes:
    return b'"pool":%b,"backend":%b' % (_encode(member.pool), _encode(member.settings.label))


def _text(data: bytes) -> bytes:
    return _encode(data.decode(errors="backslashreplace"))


def _milliseconds(seconds: float) -> bytes:
    return b"%.3f" % (seconds * 1e3) if isfinite(seconds) else b"null"


def _escaped(line: bytes) -> bytes:
    """The same JSON with characters beyond ASCII escaped: terminals take some of them for commands."""
    return json.dumps(orjson.loads(line), separators=(",", ":")).encode() + b"\n"
