# cython: annotation_typing=False
"""What the router says of a client to backends, and whose own word on that it believes."""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple

from smartlb.wire.http1 import HeaderBlock
from smartlb.wire.proxy_protocol import plain_address

_MADE_HERE: Final = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"))


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


_ENTRY: Final = re.compile(rb"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")
"""An address: in brackets or of IPv4, each with or without a port, or of IPv6."""

_MOST_REMEMBERED: Final = 4_096
_LONGEST_REMEMBERED: Final = 256  # as long as five hops of IPv6


class TrustedNetworks:
    """The peers whose claims, such as X-Forwarded-For, are believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text, strict=False) for text in networks]
        self._client_again = lru_cache(maxsize=_MOST_REMEMBERED)(self._client)

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            return self._has(ip_address(address))
        except ValueError:
            return False

    def _has(self, ip: IPv4Address | IPv6Address) -> bool:
        return any(ip in network for network in self._networks)

    def client(self, forwarded_for: bytes) -> str:
        """The address of the client behind one or more trusted proxies.

        Each proxy has appended the address that it saw, so the list is read from the right: addresses in these networks
        are proxies, and the first that is not is the client; where all are proxies, the leftmost is. What is left of
        the client is its own word. An entry may have a port, and IPv6 brackets. One that is no address (``unknown``, an
        obfuscated name) ends the search: the proxy to the right of it stands for the client, as nobody could check what
        is left of it. So does nginx with ``real_ip_recursive on`` (ngx_http_get_forwarded_addr); Envoy's
        ``xff_trusted_cidrs`` likewise takes the first from the right that is not trusted, or else the leftmost.

        Args:
            forwarded_for: the X-Forwarded-For of a trusted peer.

        Returns:
            An address in its usual form; empty where the last entry is none.
        """
        return (self._client if len(forwarded_for) > _LONGEST_REMEMBERED else self._client_again)(forwarded_for)

    def _client(self, forwarded_for: bytes) -> str:
        client = ""
        while forwarded_for:
            forwarded_for, _, entry = forwarded_for.rpartition(b",")
            entry = entry.strip(b" \t")
            if not entry:
                continue  # an empty element of a list says nothing (RFC 9110 section 5.6.1)
            ip = _address(entry)
            if ip is None:
                break
            client = str(ip)
            if not self._has(ip):
                break
        return client


def _address(entry: bytes) -> IPv4Address | IPv6Address | None:
    """The address in an entry of X-Forwarded-For, an IPv4 one in its own form."""
    found = _ENTRY.fullmatch(entry)
    if found is None:
        return None
    try:
        ip = ip_address((found[1] or found[2] or found[3]).decode())
    except ValueError:
        return None
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


class Peer:
    """The other end of a client's connection.

    Attributes:
        address: its IP address, an IPv4 one in its own form; empty where the system gave none.
        trusted: whether its own claims are passed on.
        version: of HTTP, unless a request says 1.0.
    """

    def __init__(self, peername: Any, trusted: TrustedNetworks, channel: Channel = PLAIN) -> None:
        self._channel = channel
        self._trusted = trusted
        self.address: str = plain_address(peername[0]) if isinstance(peername, tuple) else ""
        self.trusted = self.address in trusted
        self._ip_key = 0  # until it is needed
        self.version = b"2.0" if channel.http2 else b"1.1"

    def client(self, block: HeaderBlock) -> str:
        """The address of the client that sent a request: of this peer, or of whom a trusted one speaks for.

        See `TrustedNetworks.client`; where X-Forwarded-For has nothing to go by, the peer is the client.
        """
        if not self.trusted:
            return self.address
        if block.client is None:
            block.client = self._trusted.client(block.claims.get(b"x-forwarded-for", b"")) or self.address
        return block.client

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
        client = self.client(block)
        if client != self.address:
            return address_key(client)
        if not self._ip_key:
            self._ip_key = address_key(client)
        return self._ip_key


def address_key(address: str) -> int:
    """The hash of a client's address."""
    return hash64(address.encode())


def hash64(data: bytes) -> int:
    """An unsigned hash of 64 bits, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
