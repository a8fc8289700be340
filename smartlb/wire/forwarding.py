"""What the router says of a client to backends, and whose own word on that it believes."""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple

from smartlb.wire.http1 import HeaderBlock
from smartlb.wire.proxy_protocol import plain_address

_MADE_HERE = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"))


class Channel(NamedTuple):
    """What a client's connection runs over.

    Attributes:
        scheme: ``http`` or ``https``.
        certificate: header lines about the client's own certificate, where the listener asks for one.
        http2: whether client and router have agreed on HTTP/2.
    """

    scheme: bytes
    certificate: tuple[bytes, ...] = ()
    http2: bool = False


PLAIN: Final = Channel(b"http")


class TrustedNetworks:
    """The peers whose X-Forwarded-* headers are believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text, strict=False) for text in networks]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)


class Peer:
    """The other end of a client's connection.

    Attributes:
        address: its IP address, an IPv4 one in its own form; empty where the system gave none.
        trusted: whether its own claims are passed on.
        version: of HTTP, unless a request says 1.0.
    """

    __slots__ = ("_channel", "_ip_key", "address", "trusted", "version")

    def __init__(self, peername: Any, trusted: TrustedNetworks, channel: Channel = PLAIN) -> None:
        self._channel = channel
        self.address: str = plain_address(peername[0]) if isinstance(peername, tuple) else ""
        self.trusted = self.address in trusted
        self._ip_key = -1
        self.version = b"2.0" if channel.http2 else b"1.1"

    def complete(self, block: HeaderBlock, pool: str) -> None:
        """Make a block's `outgoing`: what is kept of the client's headers, and what the router adds.

        Args:
            block: as read.
            pool: stands in for the host of an HTTP/1.0 client that names none.
        """
        claims = block.claims if self.trusted else {}
        forwarded_for = self.address.encode()
        if claims.get(b"x-forwarded-for"):
            forwarded_for = claims[b"x-forwarded-for"] + b", " + forwarded_for
        host = claims.get(b"x-forwarded-host") or block.host
        lines = [
            block.kept,
            b"x-forwarded-for: " + forwarded_for,
            b"x-forwarded-proto: " + (claims.get(b"x-forwarded-proto") or self._channel.scheme),
            b"via: %s smartlb" % (b"1.0" if block.http10 else self.version),
        ]
        if host:
            lines.append(b"x-forwarded-host: " + host)
        if not self.trusted:
            # A trusted proxy's own certificate is not its client's: what it says of that is among its claims.
            lines += self._channel.certificate
        for name, value in claims.items():
            if name not in _MADE_HERE:
                lines.append(name + b": " + value)
        if not block.host and b"\r\nhost:" not in block.kept.lower():
            lines.append(b"host: " + pool.encode())
            block.raw = b""  # the next request may be for another pool
        lines.append(b"x-request-id: ")
        block.outgoing = b"\r\n".join(lines)
        block.request_id = claims.get(b"x-request-id")

    def key(self, kind: str, target: bytes, block: HeaderBlock) -> int:
        """The hash that a hashing policy asked for: of the client's address, or of host and target."""
        if kind == "url":
            return hash64(block.host + target)
        claimed = block.claims.get(b"x-forwarded-for") if self.trusted else None
        if claimed:
            # The address that the nearest trusted proxy saw is the last in the list.
            return hash64(claimed.rpartition(b",")[2].strip())
        if self._ip_key < 0:
            self._ip_key = address_key(self.address)
        return self._ip_key


def address_key(address: str) -> int:
    """The hash of a client's address."""
    return hash64(address.encode())


def hash64(data: bytes) -> int:
    """An unsigned hash of 64 bits, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
