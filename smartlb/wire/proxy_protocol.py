"""The PROXY header, by which a proxy says at the start of a connection whose connection it passes on.

After HAProxy's doc/proxy-protocol.txt, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt: section 2.1 is the
header of version 1, a line of text, and section 2.2 that of version 2, which is binary.
"""

import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, Final, Literal

Version = Literal["v1", "v2"]

_V1: Final = b"PROXY "
_LONGEST_V1: Final = 107
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_START: Final = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_OVER_TCP4, _OVER_TCP6 = 0x11, 0x21
_LAST_FAMILY, _LAST_TRANSPORT = 3, 2
_TCP4: Final = struct.Struct("!4s4sHH")
_TCP6: Final = struct.Struct("!16s16sHH")

LONGEST_HEADER: Final = 4_096
"""Bytes. Version 2 could have 65,551, but with addresses and all registered extensions it has a few hundred."""


class MalformedProxyHeader(Exception):
    """What a connection began with is no PROXY header; the message says why."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Both ends of a connection.

    Attributes:
        source: IP address of the client.
        source_port: of the client.
        destination: IP address that the client connected to.
        destination_port: likewise.
    """

    source: str
    source_port: int
    destination: str
    destination_port: int

    @classmethod
    def of_sockets(cls, peername: Any, sockname: Any) -> "Endpoints | None":
        """Those of a connection, by the names of its sockets; None where these are no IP addresses."""
        if not isinstance(peername, tuple) or not isinstance(sockname, tuple):
            return None
        return cls(plain_address(peername[0]), peername[1], plain_address(sockname[0]), sockname[1])


def plain_address(address: str) -> str:
    """An IPv4 address in its own form: a listener on [::] sees ``::ffff:192.0.2.1``."""
    return address.removeprefix("::ffff:") if "." in address else address


def encode(version: Version, endpoints: Endpoints | None) -> bytes:
    """The header for a connection.

    Args:
        version: of the header.
        endpoints: of the connection that is passed on. None says that it is the proxy's own (``LOCAL``) or that its
            ends are not known (``UNKNOWN``), and the receiver takes those that it sees.
    """
    if endpoints is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _V2_START.pack(_V2, _LOCAL, 0, 0)
    source, destination = endpoints.source.partition("%")[0], endpoints.destination.partition("%")[0]
    ports = endpoints.source_port, endpoints.destination_port
    over_ip6 = ":" in source or ":" in destination
    if over_ip6:
        # Where one end is IPv6 the header knows no IPv4, but IPv6 has a form for it (RFC 4291 section 2.5.5.2).
        source, destination = (end if ":" in end else f"::ffff:{end}" for end in (source, destination))
    if version == "v1":
        family = "TCP6" if over_ip6 else "TCP4"
        return f"PROXY {family} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()
    if over_ip6:
        addresses = _TCP6.pack(IPv6Address(source).packed, IPv6Address(destination).packed, *ports)
        return _V2_START.pack(_V2, _PROXY, _OVER_TCP6, len(addresses)) + addresses
    addresses = _TCP4.pack(IPv4Address(source).packed, IPv4Address(destination).packed, *ports)
    return _V2_START.pack(_V2, _PROXY, _OVER_TCP4, len(addresses)) + addresses


def parse(data: bytes) -> tuple[int, Endpoints | None] | None:
    """Read the header that a connection begins with.

    Args:
        data: all that has come so far; what follows the header may be among it.

    Returns:
        The header's length, and the ends that it claims: None where it claims none (``LOCAL``, ``UNKNOWN``, or an
        address family other than TCP over IP), so that those of the connection itself count. None instead of the pair
        while the header is incomplete: then all of `data` belongs to it.

    Raises:
        MalformedProxyHeader: this is no header, or a longer one than `LONGEST_HEADER`.
    """
    if data[:12] == _V2[: len(data)]:
        return _parse_v2(data)
    if data[:6] == _V1[: len(data)]:
        return _parse_v1(data)
    raise MalformedProxyHeader(f"it does not begin with a PROXY header but with {data[:12]!r}")


def _parse_v1(data: bytes) -> tuple[int, Endpoints | None] | None:
    end = data.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0:
        if len(data) >= _LONGEST_V1:
            raise MalformedProxyHeader(f"the PROXY line does not end within {_LONGEST_V1} bytes")
        return None
    line = data[:end]
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return end + 2, None  # whatever follows the word is to be ignored
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise MalformedProxyHeader(f"not a PROXY line of version 1: {line!r}")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    source, destination = (_address(kind, word, line) for word in words[2:4])
    source_port, destination_port = (_port(word, line) for word in words[4:])
    return end + 2, Endpoints(source, source_port, destination, destination_port)


def _address(kind: type[IPv4Address] | type[IPv6Address], word: bytes, line: bytes) -> str:
    try:
        if b"%" in word:
            raise AddressValueError("a zone means nothing elsewhere")
        return _text(kind(word.decode("ascii")))
    except ValueError:
        raise MalformedProxyHeader(f"not an address: {word!r} in {line!r}") from None


def _port(word: bytes, line: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (word[:1] == b"0" and word != b"0") or int(word) > 65_535:
        raise MalformedProxyHeader(f"not a port: {word!r} in {line!r}")
    return int(word)


def _parse_v2(data: bytes) -> tuple[int, Endpoints | None] | None:
    if len(data) < _V2_START.size:
        return None
    _, command, family, length = _V2_START.unpack_from(data)
    end = _V2_START.size + length
    if command not in (_LOCAL, _PROXY):
        raise MalformedProxyHeader(f"version and command 0x{command:02x} are not 0x20 or 0x21")
    if command == _PROXY and (family >> 4 > _LAST_FAMILY or family & 15 > _LAST_TRANSPORT):
        raise MalformedProxyHeader(f"family and transport 0x{family:02x} are unknown")
    if end > LONGEST_HEADER:
        raise MalformedProxyHeader(f"the header says that it has {end} bytes; at most {LONGEST_HEADER} are read")
    form = {_OVER_TCP4: _TCP4, _OVER_TCP6: _TCP6}.get(family) if command == _PROXY else None
    if form is not None and length < form.size:
        raise MalformedProxyHeader(f"{length} bytes are too few for addresses of family 0x{family:02x}")
    if len(data) < end:
        return None
    if form is None:
        return end, None
    packed_source, packed_destination, source_port, destination_port = form.unpack_from(data, _V2_START.size)
    source, destination = (
        _text(IPv6Address(packed) if form is _TCP6 else IPv4Address(packed))
        for packed in (packed_source, packed_destination)
    )
    return end, Endpoints(source, source_port, destination, destination_port)


def _text(address: IPv4Address | IPv6Address) -> str:
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)
