from smartlb.config.traffic import RateLimit as Settings
from smartlb.limits.shared_buckets import bytes_for
from smartlb.stages.rate_limit import RateLimit
from smartlb.wire.forwarding import Peer, TrustedNetworks
from smartlb.wire.http1 import read_request


def limit(settings: Settings, memory: memoryview | None = None) -> RateLimit:
    return RateLimit(settings, memory or memoryview(bytearray(bytes_for(settings.max_clients))))


def test_workers_count_together() -> None:
    settings = Settings(requests_per_s=2.0, burst=3)
    memory = memoryview(bytearray(bytes_for(settings.max_clients)))
    workers = [limit(settings, memory) for _ in range(4)]
    assert [worker.take(1, 100.0) for worker in workers] == [0.0, 0.0, 0.0, 0.5]
    assert [worker.take(1, 100.5) for worker in workers] == [0.0, 0.5, 0.5, 0.5]


def test_a_headers_value_is_never_taken_for_an_address() -> None:
    by_header = limit(Settings(requests_per_s=1, burst=1, key="header", header="x-api-key"))
    nobody = TrustedNetworks([])
    heads = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nx-api-key: 192.0.2.1\r\n\r\n"
    plain, forged = (read_request(head, len(head), None).block for head in heads)
    target = b"/"
    assert by_header.take(by_header.key(Peer(("203.0.113.9", 1), nobody), target, forged), 0.0) == 0.0
    assert by_header.take(by_header.key(Peer(("192.0.2.1", 1), nobody), target, plain), 0.0) == 0.0
