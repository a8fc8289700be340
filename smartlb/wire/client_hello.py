"""The greeting of a TLS client, as far as it is needed to send the connection where its host is served.

Reads the records and the ClientHello of RFC 8446 (sections 5.1 and 4.1.2; older versions have the same form) and the
extension server_name of RFC 6066 section 3. Nothing is decrypted, for nothing in it is encrypted.
"""

import re
from typing import Final

LONGEST_HELLO: Final = 16_384
"""Bytes of records that are read of a greeting. Those of browsers have some two thousand."""

_RECORD_BEGINS: Final = b"\x16\x03"  # a handshake, of any version
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_RECORD_HEAD: Final = 5
_LONGEST_RECORD: Final = 16_384
_MOST_RECORDS: Final = 32
_NAME: Final = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


class NotAClientHello(Exception):
    """What a connection began with is no TLS greeting; the message says why."""


class _Cut(Exception):
    """The message is shorter than it says."""


def server_name(data: bytes) -> str | None:
    """The host that a TLS client asks for.

    Args:
        data: all that has come so far; what follows the greeting may be among it.

    Returns:
        The name in lower case without a final dot; empty where the greeting names none; None while it is incomplete.

    Raises:
        NotAClientHello: this is no TLS greeting, or a longer one than `LONGEST_HELLO`.
    """
    message = _message(data)
    if message is None:
        return None
    try:
        return _server_name(message)
    except _Cut:
        raise NotAClientHello("a length in its ClientHello reaches beyond the end") from None


def _message(data: bytes) -> bytes | None:
    """The body of the ClientHello, from one record or several; None while there is more to come."""
    joined = bytearray()
    at, length = 0, -1
    for _ in range(_MOST_RECORDS):
        head = data[at : at + _RECORD_HEAD]
        if not _RECORD_BEGINS.startswith(head[:2]):
            raise NotAClientHello("it does not begin with the records of a TLS handshake")
        if len(head) < _RECORD_HEAD:
            break
        size = int.from_bytes(head[3:], "big")
        if not 0 < size <= _LONGEST_RECORD:
            raise NotAClientHello(f"a TLS record of {size} bytes")
        at += _RECORD_HEAD
        joined += data[at : at + size]
        if joined and joined[0] != _CLIENT_HELLO:
            raise NotAClientHello(f"its first handshake message is of type {joined[0]}, not a ClientHello")
        if length < 0 and len(joined) >= 4:
            length = int.from_bytes(joined[1:4], "big")
            if length > LONGEST_HELLO:
                raise NotAClientHello(f"a ClientHello of {length} bytes; at most {LONGEST_HELLO} are read")
        if 0 <= length <= len(joined) - 4:
            return bytes(joined[4 : 4 + length])
        if at + size > len(data):
            break
        at += size
    else:
        raise NotAClientHello(f"its ClientHello is in more than {_MOST_RECORDS} records")
    if len(data) >= LONGEST_HELLO:
        raise NotAClientHello(f"its ClientHello does not end within {LONGEST_HELLO} bytes")
    return None


class _Reader:
    """Takes one field after another from bytes; raises `_Cut` where there are too few."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        start = self._at
        if start + size > len(self._data):
            raise _Cut
        self._at = start + size
        return self._data[start : start + size]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A field that its length comes before, in `size` bytes."""
        return self.take(self.number(size))


def _server_name(message: bytes) -> str:
    hello = _Reader(message)
    hello.take(2 + 32)  # version and random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    if hello.at_end:
        return ""
    extensions = _Reader(hello.vector(2))
    while not extensions.at_end:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            return _host(_Reader(_Reader(content).vector(2)))
    return ""


def _host(names: _Reader) -> str:
    while not names.at_end:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            if not _NAME.fullmatch(name):
                raise NotAClientHello(f"it asks for a host that cannot be one: {name[:80]!r}")
            return name.decode().lower().removesuffix(".")
    return ""
