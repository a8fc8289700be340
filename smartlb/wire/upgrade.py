"""Upgrades without I/O: what a client may ask for, and which answer of a backend opens a tunnel.

RFC 9110 section 7.8 has the rules of Upgrade, RFC 6455 section 4 those of the WebSocket handshake. From the moment that
a router takes a connection for a tunnel, it looks at nothing any more; whoever talks it into one without the backend's
consent reaches past every route and limit. So a tunnel takes a whole handshake, asked for and answered.
"""

import re
from base64 import b64encode
from collections.abc import Set
from hashlib import sha1
from typing import Final

from smartlb.wire.http1 import HeaderBlock, MalformedResponse, nominates_upgrade, read_switch

WEBSOCKET: Final = b"websocket"

_KEY: Final = re.compile(rb"\r\n(?i:sec-websocket-key):[ \t]*+([^\r\n]*+)")
_ACCEPT: Final = re.compile(rb"\r\n(?i:sec-websocket-accept):[ \t]*+([^\r\n]*+)")
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Offer:
    """A client's wish to speak another protocol, which is passed on to the backend.

    Attributes:
        protocol: as the client spelled it.
        lines: the headers to forward after the others, each after a CRLF.
    """

    __slots__ = ("_key", "lines", "protocol")

    def __init__(self, protocol: bytes, key: bytes) -> None:
        self.protocol = protocol
        self.lines = b"\r\nConnection: upgrade\r\nUpgrade: " + protocol
        self._key = key

    def accepted(self, raw: bytes) -> bytes:
        """Check a backend's 101 against the offer.

        Args:
            raw: the response's head, empty line included.

        Returns:
            The head to forward, without the empty line.

        Raises:
            MalformedResponse: it is not the answer to this offer.
        """
        if not raw.startswith(b"HTTP/1.1 "):
            raise MalformedResponse("a 101 is a response of HTTP/1.1")
        response = read_switch(raw, len(raw))
        if not nominates_upgrade(response.connection):
            raise MalformedResponse("the 101 does not switch protocols: its Connection header does not have Upgrade")
        if response.upgrade.lower() != self.protocol.lower():
            raise MalformedResponse(f"the 101 does not switch to {self.protocol.decode()} alone")
        if self._key and _values(_ACCEPT, raw) != [_accept_of(self._key)]:
            raise MalformedResponse("the 101's Sec-WebSocket-Accept does not fit the Sec-WebSocket-Key")
        return response.head[:-2] + self.lines + b"\r\n"


def offer_of(method: bytes, block: HeaderBlock, allowed: Set[bytes]) -> Offer | None:
    """The upgrade that a request asks for; None where the request is to be served as if it asked for none.

    Args:
        method: of the request.
        block: its headers, with `HeaderBlock.upgrade`.
        allowed: protocols in lower case.
    """
    protocol = block.upgrade.lower()
    if protocol not in allowed:
        return None
    if protocol != WEBSOCKET:
        return Offer(block.upgrade, b"")
    keys = _values(_KEY, block.kept)
    if method != b"GET" or len(keys) != 1 or not keys[0]:
        return None
    return Offer(block.upgrade, keys[0])


def _values(lines: re.Pattern[bytes], head: bytes) -> list[bytes]:
    """The values of a header, one for each line."""
    return [value.rstrip(b" \t") for value in lines.findall(head)]


def _accept_of(key: bytes) -> bytes:
    """What shows that a server has understood the handshake (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + _ACCEPT_SUFFIX, usedforsecurity=False).digest())
