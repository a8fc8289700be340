import pytest

from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http1 import HeaderBlock, read_request
from tests.wire import oracle
from tests.wire.oracle import Headers, assert_sound

NOBODY = TrustedNetworks([])
PROXIES = TrustedNetworks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
CLIENT = ("198.51.100.4", 4711)
PROXY = ("10.1.2.3", 4711)


def read(*lines: bytes, start: bytes = b"GET /a HTTP/1.1", host: bytes | None = b"Host: A.example:80") -> HeaderBlock:
    named = [] if host is None else [host]
    raw = b"\r\n".join([start, *named, *lines, b"", b""])
    return read_request(raw, len(raw), None).block


def sent(peer: Peer, block: HeaderBlock, request_id: bytes = b"made-here") -> Headers:
    """The headers that a backend gets."""
    peer.complete(block, "web")
    head = b"GET /a HTTP/1.1" + block.outgoing + (block.request_id or request_id) + b"\r\n\r\n"
    assert_sound(head)
    return oracle.read_request(head).headers


CLAIMS = (
    b"X-Forwarded-For: 203.0.113.1, 203.0.113.2",
    b"x-forwarded-proto: https",
    b"X-FORWARDED-HOST: shop.example",
    b"X-Forwarded-Port: 443",
    b"Forwarded: for=203.0.113.1;proto=https",
    b"X-Request-ID: theirs",
)


def test_claims_of_clients_are_replaced() -> None:
    assert sent(Peer(CLIENT, PROXIES), read(*CLAIMS, b"Accept: */*")) == [
        (b"host", b"A.example:80"),
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"198.51.100.4"),
        (b"x-forwarded-proto", b"http"),
        (b"via", b"1.1 smartlb"),
        (b"x-forwarded-host", b"a.example:80"),
        (b"x-request-id", b"made-here"),
    ]


def test_claims_of_trusted_proxies_are_passed_on() -> None:
    assert sent(Peer(PROXY, PROXIES), read(*CLAIMS, b"Accept: */*")) == [
        (b"host", b"A.example:80"),
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"203.0.113.1, 203.0.113.2, 10.1.2.3"),
        (b"x-forwarded-proto", b"https"),
        (b"via", b"1.1 smartlb"),
        (b"x-forwarded-host", b"shop.example"),
        (b"x-forwarded-port", b"443"),
        (b"forwarded", b"for=203.0.113.1;proto=https"),
        (b"x-request-id", b"theirs"),
    ]


@pytest.mark.parametrize("peer", [Peer(PROXY, PROXIES), Peer(CLIENT, PROXIES)], ids=["trusted", "not trusted"])
def test_claims_spelled_with_underscores_never_pass(peer: Peer) -> None:
    headers = sent(peer, read(b"X_Forwarded_For: 203.0.113.1", b"X-Forwarded_Host: b", b"X_Request_ID: theirs"))
    assert not [name for name, _ in headers if b"_" in name]
    assert dict(headers)[b"x-forwarded-for"] == peer.address.encode()
    assert dict(headers)[b"x-request-id"] == b"made-here"


def test_a_trusted_proxy_without_claims_is_a_client() -> None:
    assert dict(sent(Peer(PROXY, PROXIES), read())) == {
        b"host": b"A.example:80",
        b"x-forwarded-for": b"10.1.2.3",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"a.example:80",
        b"via": b"1.1 smartlb",
        b"x-request-id": b"made-here",
    }


def test_empty_claims_are_none() -> None:
    lines = (b"X-Forwarded-For:", b"X-Forwarded-Proto: ", b"X-Forwarded-Host:", b"X-Request-ID:\t")
    assert sent(Peer(PROXY, PROXIES), read(*lines)) == sent(Peer(PROXY, PROXIES), read())


def test_repeated_claims_are_one_list() -> None:
    block = read(b"X-Forwarded-For: 203.0.113.1", b"Accept: */*", b"x-forwarded-for: 203.0.113.2")
    assert dict(sent(Peer(PROXY, PROXIES), block))[b"x-forwarded-for"] == b"203.0.113.1, 203.0.113.2, 10.1.2.3"


def test_claims_cannot_be_taken_away_by_connection() -> None:
    headers = sent(Peer(PROXY, PROXIES), read(b"Connection: X-Forwarded-For, Via, X-Request-ID", *CLAIMS))
    assert dict(headers)[b"x-forwarded-for"] == b"203.0.113.1, 203.0.113.2, 10.1.2.3"
    assert dict(headers)[b"x-request-id"] == b"theirs"
    assert dict(headers)[b"via"] == b"1.1 smartlb"


def test_via_is_added_to() -> None:
    headers = sent(Peer(CLIENT, NOBODY), read(b"Via: 1.0 other"))
    assert [value for name, value in headers if name == b"via"] == [b"1.0 other", b"1.1 smartlb"]
    old = sent(Peer(CLIENT, NOBODY), read(start=b"GET / HTTP/1.0"))
    assert dict(old)[b"via"] == b"1.0 smartlb"


def test_an_old_client_without_host_asks_for_the_pool() -> None:
    block = read(start=b"GET / HTTP/1.0", host=None)
    headers = dict(sent(Peer(CLIENT, NOBODY), block))
    assert headers[b"host"] == b"web"
    assert b"x-forwarded-host" not in headers


def test_a_block_that_names_the_pool_is_not_used_for_another_request() -> None:
    raw = b"GET / HTTP/1.0\r\nA: b\r\n\r\n"
    last = read_request(raw, len(raw), None)
    Peer(CLIENT, NOBODY).complete(last.block, "web")
    assert read_request(raw, len(raw), last).block is not last.block


def test_an_empty_host_is_left_as_it_is() -> None:
    headers = sent(Peer(CLIENT, NOBODY), read(host=b"Host:"))
    assert [value for name, value in headers if name == b"host"] == [b""]
    assert b"x-forwarded-host" not in dict(headers)


def test_the_host_of_an_absolute_target_is_the_one_forwarded() -> None:
    headers = sent(Peer(CLIENT, NOBODY), read(start=b"GET http://B.example/a HTTP/1.1"))
    assert [value for name, value in headers if name == b"host"] == [b"B.example"]
    assert dict(headers)[b"x-forwarded-host"] == b"b.example"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("", False),
        ("no address", False),
    ],
)
def test_trusted_networks(address: str, expected: bool) -> None:
    assert (address in PROXIES) is expected
    assert address not in NOBODY


def test_ipv4_clients_of_an_ipv6_listener_have_their_own_address() -> None:
    peer = Peer(("::ffff:10.1.2.3", 4711, 0, 0), PROXIES)
    assert (peer.address, peer.trusted) == ("10.1.2.3", True)
    assert peer.key("client_ip", b"/", read()) == Peer(PROXY, PROXIES).key("client_ip", b"/", read())


def test_ipv6_addresses_are_as_they_are() -> None:
    peer = Peer(("2001:db8::ffff:1", 4711, 0, 0), PROXIES)
    assert (peer.address, peer.trusted) == ("2001:db8::ffff:1", True)
    assert dict(sent(peer, read()))[b"x-forwarded-for"] == b"2001:db8::ffff:1"


@pytest.mark.parametrize("peername", [None, "", b"/run/socket"])
def test_a_peer_without_an_address_is_not_trusted(peername: object) -> None:
    peer = Peer(peername, TrustedNetworks(["0.0.0.0/0", "::/0"]))
    assert (peer.address, peer.trusted) == ("", False)


def test_hash_keys_are_the_same_in_every_worker_and_release() -> None:
    # They decide which backend holds a client's or a URL's cache.
    assert Peer(CLIENT, NOBODY).key("client_ip", b"/a", read()) == 0x4AF89F712D154791
    assert Peer(CLIENT, NOBODY).key("url", b"/a", read()) == 0x2FD2DD0AA70D5D2F


def test_the_url_key_is_of_host_and_target() -> None:
    def key(target: bytes, host: bytes) -> int:
        return Peer(CLIENT, NOBODY).key("url", target, read(host=b"Host: " + host))

    assert key(b"/a", b"B.example") == key(b"/a", b"b.example")
    assert len({key(b"/a", b"b"), key(b"/b", b"b"), key(b"/a", b"c"), key(b"/a?x", b"b")}) == 4


def test_the_client_key_is_of_the_client_behind_trusted_proxies() -> None:
    def key(peername: tuple[str, int], *lines: bytes) -> int:
        return Peer(peername, PROXIES).key("client_ip", b"/", read(*lines))

    direct = key(CLIENT)
    assert key(PROXY, b"X-Forwarded-For: 203.0.113.1, 198.51.100.4 ") == direct
    assert key(PROXY, b"X-Forwarded-For: 203.0.113.1", b"X-Forwarded-For: 198.51.100.4") == direct
    assert key(PROXY, b"X-Forwarded-For: 198.51.100.4, 10.9.9.9, 192.0.2.7") == direct
    assert key(PROXY) != direct
    assert key(PROXY, b"X-Forwarded-For:") == key(PROXY)
    assert key(CLIENT, b"X-Forwarded-For: 203.0.113.1") == direct


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        (b"203.0.113.1", "203.0.113.1"),
        (b"203.0.113.9, 203.0.113.1", "203.0.113.1"),
        (b"203.0.113.9,203.0.113.1,10.0.0.1", "203.0.113.1"),
        (b"203.0.113.9, 203.0.113.1\t , 10.0.0.1,192.0.2.7 , 2001:db8::1", "203.0.113.1"),
        (b"10.0.0.3, 10.0.0.2, 10.0.0.1", "10.0.0.3"),
        (b"203.0.113.1:4711", "203.0.113.1"),
        (b"203.0.113.1:4711, 10.0.0.1:80, [2001:db8::1]:443, [2001:db8::2]", "203.0.113.1"),
        (b"2001:DB9:0::1", "2001:db9::1"),
        (b"[2001:db9::1]:65535", "2001:db9::1"),
        (b"::ffff:203.0.113.1", "203.0.113.1"),
        (b"203.0.113.1, ::ffff:10.0.0.1", "203.0.113.1"),
        (b",, 203.0.113.1,, 10.0.0.1, ,", "203.0.113.1"),
        # What is no address ends the search.
        (b"203.0.113.1, unknown, 10.0.0.2, 10.0.0.1", "10.0.0.2"),
        (b"203.0.113.1, unknown", PROXY[0]),
        (b"203.0.113.1, _hidden, 203.0.113.2", "203.0.113.2"),
        (b"203.0.113.1, 10.0.0.999, 10.0.0.1", "10.0.0.1"),
        (b"203.0.113.1, 10.0.0.1:", PROXY[0]),
        (b"203.0.113.1, [10.0.0.1", PROXY[0]),
        (b"203.0.113.1, 10.0.0.1:port", PROXY[0]),
        (b"203.0.113.1, fe80::1%eth0", PROXY[0]),
        (b"203.0.113.1, 10.0.0.1 10.0.0.2", PROXY[0]),
        (b"203.0.113.1, \xff", PROXY[0]),
        (b"unknown", PROXY[0]),
        (b"", PROXY[0]),
        (b" , ", PROXY[0]),
    ],
)
def test_the_client_is_the_last_address_that_is_not_trusted(forwarded_for: bytes, client: str) -> None:
    block = read(b"X-Forwarded-For: " + forwarded_for)
    assert Peer(PROXY, PROXIES).client(block) == client
    assert Peer(CLIENT, PROXIES).client(read(b"X-Forwarded-For: " + forwarded_for)) == CLIENT[0]


def test_long_lists_are_read_too() -> None:
    assert Peer(PROXY, PROXIES).client(read(b"X-Forwarded-For: " + b"10.0.0.1, " * 300 + b"10.0.0.2")) == "10.0.0.1"


ADDRESS_CLAIMS = (
    *(b"X-Real-IP", b"CF-Connecting-IP", b"CF-Connecting-IPv6", b"True-Client-IP", b"X-Client-IP", b"Client-IP"),
    *(b"X-Cluster-Client-IP", b"Fastly-Client-IP", b"Fly-Client-IP", b"DO-Connecting-IP", b"X-Forwarded", b"Forwarded"),
    *(
        b"Forwarded-For",
        b"X-Original-Forwarded-For",
        b"X-Envoy-External-Address",
        b"X-Azure-ClientIP",
        b"X-Remote-Addr",
    ),
    *(b"Proxy-Client-IP", b"WL-Proxy-Client-IP", b"X-AppEngine-User-IP", b"X-Original-URL", b"X-Rewrite-URL"),
)


@pytest.mark.parametrize("name", ADDRESS_CLAIMS)
def test_only_trusted_peers_may_say_who_a_client_is(name: bytes) -> None:
    line = name + b": 203.0.113.1"
    assert name.lower() not in dict(sent(Peer(CLIENT, PROXIES), read(line)))
    assert dict(sent(Peer(PROXY, PROXIES), read(line)))[name.lower()] == b"203.0.113.1"
    for folded in (b"_", b".", b"!"):
        spelled = name.replace(b"-", folded)
        if spelled != name:
            for peer in (Peer(CLIENT, PROXIES), Peer(PROXY, PROXIES)):
                assert spelled.lower() not in dict(sent(peer, read(spelled + b": 203.0.113.1")))


def test_keys_are_unsigned_64_bit_numbers() -> None:
    peer = Peer(CLIENT, NOBODY)
    keys = [peer.key("url", b"/%d" % number, read()) for number in range(200)]
    assert all(0 <= key < 1 << 64 for key in keys)
    assert len(set(keys)) == 200
