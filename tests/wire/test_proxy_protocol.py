"""The PROXY header's encoder and parser: the specification's own examples, round trips, and arbitrary bytes."""

import struct
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartlb.control.raw_check import PROXY_LOCAL
from smartlb.wire.proxy_protocol import LONGEST_HEADER, Endpoints, MalformedProxyHeader, Version, encode, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
VERSIONS = st.sampled_from(["v1", "v2"])
PORTS = st.integers(0, 65_535)


def ends(addresses: st.SearchStrategy[str]) -> st.SearchStrategy[Endpoints]:
    return st.builds(Endpoints, addresses, PORTS, addresses, PORTS)


# Mapped IPv4 addresses come back in their own form, which is what is wanted of them.
IP6 = st.ip_addresses(v=6).map(str).filter(lambda text: IPv6Address(text).ipv4_mapped is None)
IP4 = st.ip_addresses(v=4).map(str)


def v2(command: int, family: int, content: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(content) if length is None else length) + content


@given(VERSIONS, ends(IP4) | ends(IP6), st.binary(max_size=100))
def test_what_is_encoded_is_parsed(version: Version, endpoints: Endpoints, rest: bytes) -> None:
    header = encode(version, endpoints)
    assert parse(header + rest) == (len(header), endpoints)
    assert len(header) <= (107 if version == "v1" else 52)


@given(VERSIONS, st.tuples(IP4, IP6), PORTS, st.booleans())
def test_families_that_differ_are_said_as_ipv6(
    version: Version, addresses: tuple[str, str], port: int, turned: bool
) -> None:
    source, destination = reversed(addresses) if turned else addresses
    endpoints = Endpoints(source, port, destination, 80)
    header = encode(version, endpoints)
    assert parse(header) == (len(header), endpoints)


@given(VERSIONS, ends(IP4) | ends(IP6) | st.none())
def test_every_beginning_of_a_header_is_incomplete(version: Version, endpoints: Endpoints | None) -> None:
    header = encode(version, endpoints)
    assert parse(header) == (len(header), endpoints)
    assert {parse(header[:size]) for size in range(len(header))} == {None}


HEADERS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ::1 ", SIGNATURE, SIGNATURE + b"\x21\x11"])


@given(HEADERS, st.binary(max_size=300))
@example(b"PROXY ", b"TCP4 1.2.3.4 1.2.3.4 \xb2 80\r\n")
def test_arbitrary_bytes_are_a_header_or_not(start: bytes, rest: bytes) -> None:
    data = start + rest
    with suppress(MalformedProxyHeader):
        header = parse(data)
        if header is None:
            assert len(data) < LONGEST_HEADER
        else:
            length, endpoints = header
            assert 0 < length <= min(len(data), LONGEST_HEADER)
            if endpoints is not None:
                assert ip_address(endpoints.source)
                assert ip_address(endpoints.destination)


@given(st.binary(min_size=1, max_size=60))
def test_nothing_waits_for_more_than_a_header_can_have(data: bytes) -> None:
    for endless in (b"PROXY " + b"x" * 200 + data, SIGNATURE + b"\x21\x11\xff\xff" + data):
        with pytest.raises(MalformedProxyHeader):
            parse(endless)


def test_examples_of_the_specification() -> None:
    line = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"
    assert parse(line) == (len(line), Endpoints("255.255.255.255", 65535, "255.255.255.255", 65535))
    unknown = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"
    assert parse(unknown + b"GET /") == (len(unknown), None)
    longest = b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n"
    assert parse(longest) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 80\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 80 80 80\r\n",
        b"PROXY TCP4  1.2.3.4 1.2.3.4 80 80\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 80 80\r\n",
        b"PROXY TCP4 ::1 ::1 80 80\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 80 80\r\n",
        b"PROXY TCP6 fe80::1%lo fe80::1 80 80\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 080 80\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 80 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 +80 80\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 80 80\n\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 80 80\r\n",
        b"proxy TCP4 1.2.3.4 1.2.3.4 80 80\r\n",
        b"PROXY\r\n",
        v2(0x11, 0x11, bytes(12)),
        v2(0x22, 0x11, bytes(12)),
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(35)),
        v2(0x21, 0x11, b"", length=LONGEST_HEADER),
    ],
)
def test_malformed(line: bytes) -> None:
    with pytest.raises(MalformedProxyHeader):
        parse(line)


@pytest.mark.parametrize(
    ("header", "endpoints"),
    [
        (v2(0x20, 0x11, bytes(12)), None),  # LOCAL, whatever else it says
        (v2(0x20, 0x00, b""), None),
        (v2(0x21, 0x00, b"tlv"), None),
        (v2(0x21, 0x31, bytes(216)), None),  # Unix sockets
        (v2(0x21, 0x12, bytes(12)), None),  # UDP
        (v2(0x21, 0x11, bytes([1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187]) + b"\x04\0\x01x"), "v4"),
        (v2(0x21, 0x21, bytes(10) + b"\xff\xff\1\2\3\4" + bytes(10) + b"\xff\xff\5\6\7\x08\0\x50\1\xbb"), "v4"),
    ],
)
def test_version_2(header: bytes, endpoints: str | None) -> None:
    expected = Endpoints("1.2.3.4", 80, "5.6.7.8", 443) if endpoints else None
    assert parse(header + b"more") == (len(header), expected)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_of_health_checks_is_that_of_a_connection_of_the_routers_own(version: Version) -> None:
    assert PROXY_LOCAL[version] == encode(version, None)


def test_names_of_sockets() -> None:
    assert Endpoints.of_sockets(("::ffff:1.2.3.4", 5, 0, 0), ("::1", 80, 0, 0)) == Endpoints("1.2.3.4", 5, "::1", 80)
    assert Endpoints.of_sockets(None, ("::1", 80, 0, 0)) is None
    assert parse(encode("v2", Endpoints("fe80::1%eth0", 1, "fe80::2%eth0", 2))) == (
        52,
        Endpoints("fe80::1", 1, "fe80::2", 2),
    )


@pytest.mark.parametrize("family", [0x13, 0x41, 0xFF, 0x1F])
def test_unknown_families_are_refused_unless_nothing_is_claimed(family: int) -> None:
    rest = (12).to_bytes(2, "big") + bytes(12)
    start = b"\r\n\r\n\0\r\nQUIT\n"
    with pytest.raises(MalformedProxyHeader, match="unknown"):
        parse(start + bytes([0x21, family]) + rest)
    assert parse(start + bytes([0x20, family]) + rest) == (28, None)
