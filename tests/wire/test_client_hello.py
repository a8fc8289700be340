"""The reader of TLS greetings: those of OpenSSL, whole and in pieces, damaged ones, and arbitrary bytes."""

import ssl
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlb.wire.client_hello import LONGEST_HELLO, NotAClientHello, server_name


def greeting(host: str | None, *, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, protocols: int = 0) -> bytes:
    """The first flight of a client of Python's own `ssl`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.maximum_version = highest
    if protocols:
        context.set_alpn_protocols([f"protocol-{number}" for number in range(protocols)])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same handshake message in records of at most `size` bytes."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


HELLO = greeting("www.example.com")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["a", "www.example.com", "xn--bcher-kva.example", ".".join(["x" * 60] * 4)])
def test_the_host_of_a_greeting(host: str, version: ssl.TLSVersion) -> None:
    hello = greeting(host, highest=version)
    assert server_name(hello) == host
    assert server_name(hello + b"more") == host


def test_a_greeting_without_a_host() -> None:
    assert server_name(greeting(None)) == ""
    assert server_name(greeting("127.0.0.1")) == ""  # addresses are no hosts: RFC 6066 section 3


def test_case_and_a_final_dot_make_no_difference() -> None:
    assert server_name(HELLO.replace(b"www.example.com", b"WWW.Example.COM")) == "www.example.com"
    assert server_name(HELLO.replace(b"www.example.com", b"www.example.co.")) == "www.example.co"


def test_every_beginning_is_incomplete() -> None:
    assert {server_name(HELLO[:size]) for size in range(len(HELLO))} == {None}


@pytest.mark.parametrize("size", [20, 100, 511])
def test_a_greeting_in_several_records(size: int) -> None:
    hello = in_records(HELLO, size)
    assert server_name(hello) == "www.example.com"
    assert {server_name(hello[:end]) for end in range(len(hello))} == {None}


def test_a_long_greeting() -> None:
    hello = greeting("www.example.com", protocols=500)
    assert 5_000 < len(hello) < LONGEST_HELLO
    assert server_name(hello) == "www.example.com"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "does not begin with the records"),
        (b"\x16\x02\x00", "does not begin with the records"),
        (b"\x15\x03\x01\x00\x02\x01\x00", "does not begin with the records"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "type 2, not a ClientHello"),
        (b"\x16\x03\x01\x00\x00", "a TLS record of 0 bytes"),
        (b"\x16\x03\x01\xff\xff", "a TLS record of 65535 bytes"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "reaches beyond the end"),
        (b"\x16\x03\x01\x00\x04\x01\x7f\xff\xff", "a ClientHello of 8388607 bytes"),
        (in_records(HELLO, 2), "in more than 32 records"),
        (HELLO.replace(b"www.example.com", b"www.example.com"[:-1] + b"\0"), "a host that cannot be one"),
        (HELLO.replace(b"www.example.com", b"www example com"), "a host that cannot be one"),
        (HELLO.replace(b"www.example.com", b"..............."), "a host that cannot be one"),
    ],
    ids=count(),  # greetings have random bytes, and all processes of a run must call a test the same
)
def test_what_is_no_greeting(data: bytes, why: str) -> None:
    with pytest.raises(NotAClientHello, match=why):
        server_name(data)


STARTS = st.sampled_from([b"", b"\x16", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"])


@given(STARTS, st.binary(max_size=400))
def test_arbitrary_bytes_are_a_greeting_or_not(start: bytes, rest: bytes) -> None:
    with suppress(NotAClientHello):
        name = server_name(start + rest)
        assert name is None or name.isascii()


@given(st.lists(st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_greetings(changes: list[tuple[int, int]]) -> None:
    data = bytearray(HELLO)
    for at, value in changes:
        data[at] = value
    with suppress(NotAClientHello):
        server_name(bytes(data))


def test_waiting_has_an_end() -> None:
    record = b"\x16\x03\x01\x02\x00\x01\x00\x3f\xff" + bytes(508)
    more = b"\x16\x03\x01\x02\x00" + bytes(512)
    with pytest.raises(NotAClientHello):
        server_name(record + more * 40)
