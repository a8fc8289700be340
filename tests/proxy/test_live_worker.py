"""What the worker does around requests: policies, snapshots, eligibility, drain, access log."""

import asyncio
import json
import socket
import time
from collections import Counter
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE
from smartlb.core.segment import Gauge
from smartlb.policies.registry import POLICIES
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, ok, saying

GET = request()


async def _shares(live: Live, router: LiveRouter, requests: int = 40) -> Counter[int]:
    """How many of some requests each backend had."""
    client = await live.client(router)
    for number in range(requests):
        assert (await client.ask(request("GET", f"/{number}"))).status == 200
    records = await router.records(requests)
    assert {record["outcome"] for record in records} == {Outcome.COMPLETE}
    return Counter(record["backend"] for record in records)


@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_serves(live: Live, policy: str) -> None:
    origins = [await live.origin() for _ in range(3)]
    router = await live.router(*origins, pool={"policy": policy})
    router.publish(1, [0.2, 0.3, 0.5])
    shares = await _shares(live, router)
    assert shares.keys() <= {0, 1, 2}
    if POLICIES[policy].key != "client_ip":
        assert len(shares) > 1
    router.set_eligible(0, 1, 0)
    assert (await _shares(live, router)).keys() == {1}
    router.set_eligible(1, 1, 1)
    assert (await _shares(live, router)).total() == 40


async def test_learned_weights_and_the_fallback(live: Live) -> None:
    origins = [await live.origin() for _ in range(2)]
    router = await live.router(*origins, pool={"policy": "learned"}, learner={"stale_after_s": 2})
    assert router.gauge(Gauge.FALLBACK) == 1
    fair = await _shares(live, router)
    assert min(fair[0], fair[1]) > 5

    router.publish(7, [0.0, 1.0])
    assert (router.gauge(Gauge.FALLBACK), router.gauge(Gauge.SNAPSHOT_VERSION)) == (0, 7)
    assert await _shares(live, router) == {1: 40}

    router.tick(ahead_s=1.5)
    assert router.gauge(Gauge.FALLBACK) == 0
    router.tick(ahead_s=3)
    assert (router.gauge(Gauge.FALLBACK), router.gauge(Gauge.SNAPSHOT_VERSION)) == (1, 0)
    assert (await _shares(live, router))[0] > 5

    router.publish(8, [1.0, 0.0])
    assert (router.gauge(Gauge.FALLBACK), router.gauge(Gauge.SNAPSHOT_VERSION)) == (0, 8)
    assert await _shares(live, router) == {0: 40}


async def test_a_learned_weight_of_nothing_is_no_trap(live: Live) -> None:
    """When only backends without learned weight are left, they serve."""
    origins = [await live.origin() for _ in range(3)]
    router = await live.router(*origins, pool={"policy": "learned"})
    router.publish(1, [1.0, 0.0, 0.0])
    router.set_eligible(0, 1, 1)
    assert (await _shares(live, router)).keys() <= {1, 2}


async def test_nobody_is_eligible(live: Live) -> None:
    origin, router, client = await live.pair()
    router.set_eligible(0)
    response = await client.ask(GET)
    assert (response.status, response.error, response.header(b"connection")) == (503, "no_backend", None)
    record = await router.record()
    assert (record["outcome"], record["backend"]) == (Outcome.NO_BACKEND, NO_BACKEND)
    router.set_eligible(1)
    assert (await client.ask(GET)).status == 200
    assert len(origin.requests) == 1


async def test_a_request_under_way_stays_with_its_backend(live: Live) -> None:
    finish = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await finish.wait()
        await link.send(ok(b"late"))
        await link.end()

    origin, router, client = await live.pair(script)
    await client.send(GET)
    await eventually(lambda: origin.requests)
    router.set_eligible(0)
    finish.set()
    assert (await client.response()).body == b"late"


async def test_routes_lead_to_pools_and_classes_are_told_apart(live: Live) -> None:
    a, b = await live.origin(saying(ok(b"a"))), await live.origin(saying(ok(b"b")))
    router = await live.router(
        pools={name: {"backends": [o.address], "policy": "round_robin"} for name, o in (("pa", a), ("pb", b))},
        routes=[
            {"name": "ra", "pool": "pa", "match": {"path_prefix": "/a"}},
            {"name": "rb", "pool": "pb", "match": {"methods": ["GET", "POST"]}},
        ],
        request_classes=[
            {"name": "write", "match": {"methods": ["POST"]}},
            {"name": "big", "match": {"route": "rb", "headers": {"x-size": "big"}}},
        ],
    )
    client = await live.client(router)
    assert (await client.ask(request("GET", "/a/x"))).body == b"a"
    assert (await client.ask(request("GET", "/x"))).body == b"b"
    assert (await client.ask(request("GET", "/x", "X-Size: big"))).body == b"b"
    assert (await client.ask(request("POST", "/x", body=b"1"))).body == b"b"
    assert (await client.ask(request("DELETE", "/x"))).status == 404
    records = await router.records(5)
    assert [(r["route"], r["backend"], r["request_class"]) for r in records] == [
        (0, 0, 0),
        (1, 1, 0),
        (1, 1, 2),
        (1, 1, 1),
        (NO_ROUTE, NO_BACKEND, 0),
    ]


# Drain


async def test_drain(live: Live) -> None:
    finish = asyncio.Event()

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await finish.wait()
            await link.send(ok(b"late"))

    origin, router, busy = await live.pair(script)
    idle, half = await live.client(router), await live.client(router)
    await busy.send(GET + GET)
    await half.send(GET[:20])
    await eventually(lambda: origin.requests and len(router.worker.admission.clients) == 3)
    await asyncio.sleep(0.02)
    router.worker.drain()
    assert await idle.rest() == b""
    await half.send(GET[20:])
    finish.set()
    for client in (busy, half):
        response = await client.response()
        assert (response.body, response.header(b"connection")) == (b"late", b"close")
        assert await client.cut() == b""
    router.sweep(5.0)  # one sent more than it was answered: it has a while to read on
    await eventually(lambda: not router.worker.admission.clients)
    assert len(origin.requests) == 2


async def test_drain_in_the_middle_of_a_response(live: Live) -> None:
    finish = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
        await finish.wait()
        await link.send(b"llo")
        await link.end()

    _origin, router, client = await live.pair(script)
    await client.send(GET)
    await client.reader.readuntil(b"he")
    router.worker.drain()
    finish.set()
    # The head, sent before, promised an open connection; it is closed all the same, as any idle one may be.
    assert await client.rest() == b"llo"


async def test_drain_unframes_chunks_for_an_http10_client(live: Live) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    origin, router, client = await live.pair(saying(chunked))
    await client.send(b"GET / HTTP/1.0\r\n")
    await eventually(lambda: router.worker.admission.clients)
    await asyncio.sleep(0.02)
    router.worker.drain()
    response = await client.ask(b"\r\n")
    assert (response.body, response.header(b"transfer-encoding")) == (b"hello", None)
    assert len(origin.requests) == 1


async def test_drain_answers_what_has_no_route(live: Live) -> None:
    _origin, router, client = await live.pair(routes=[{"name": "r", "pool": "web", "match": {"path_prefix": "/a"}}])
    await client.send(GET[:20])
    await eventually(lambda: router.worker.admission.clients)
    await asyncio.sleep(0.02)
    router.worker.drain()
    response = await client.ask(GET[20:])
    assert (response.status, response.header(b"connection")) == (404, b"close")
    assert await client.rest() == b""


# Access log


class _Log:
    """The supervisor's end of the access log."""

    def __init__(self) -> None:
        self.end, self.workers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self.end, self.workers_end):
            end.setblocking(False)

    def batch(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.end.recv(1_000_000).splitlines()]

    def close(self) -> None:
        self.end.close()
        self.workers_end.close()


async def test_the_access_log(live: Live) -> None:
    log = _Log()
    origin = await live.origin()
    routes = [{"name": "a", "pool": "web", "match": {"path_prefix": "/a"}}]
    router = await live.router(origin, access_log=log.workers_end, routes=routes)
    client = await live.client(router)
    await client.ask(request("POST", "/a?b", body=b"12345"))
    await client.ask(request("GET", "/elsewhere"))
    await client.ask(b"nonsense\r\n\r\n")
    records = await router.records(3)
    router.tick()
    posted, unrouted, refused = log.batch()
    assert (posted["method"], posted["target"], posted["client"]) == ("POST", "/a?b", "127.0.0.1")
    assert posted["request_id"].encode() == origin.requests[0].header(b"x-request-id")
    assert (posted["route"], posted["pool"], posted["backend"]) == ("a", "web", origin.address)
    assert posted["request_bytes"] == posted["response_bytes"] == 5
    assert (posted["status"], posted["outcome"], posted["attempt"]) == (records[0]["status"], "complete", 1)
    assert abs(posted["arrival_s"] - time.time()) < 3_600
    assert (unrouted["method"], unrouted["target"], unrouted["client"]) == ("GET", "/elsewhere", "127.0.0.1")
    assert unrouted["pool"] is None
    assert (refused["client"], refused["outcome"]) == ("127.0.0.1", "bad_request")
    router.tick()
    with pytest.raises(BlockingIOError):
        log.batch()
    log.close()


async def test_a_full_batch_is_sent_at_once(live: Live) -> None:
    log = _Log()
    router = await live.router(await live.origin(), access_log=log.workers_end)
    client = await live.client(router)
    for _ in range(64):
        await client.ask(GET)
    await eventually(lambda: log.end.recv(1, socket.MSG_PEEK))
    assert len(log.batch()) == 64
    log.close()


async def test_a_log_that_nobody_reads_stops_nothing(live: Live) -> None:
    log = _Log()
    router = await live.router(await live.origin(), access_log=log.workers_end)
    client = await live.client(router)
    target = "/" + "a" * 20_000
    for _ in range(1_500):
        assert (await client.ask(request("GET", target))).status == 200
    await router.records(1_500)
    router.tick()
    dropped = router.gauge(Gauge.LOG_LINES_DROPPED)
    received = 0
    try:
        while True:
            received += len(log.batch())
    except BlockingIOError:
        pass
    assert dropped > 0
    assert dropped + received == 1_500
    log.close()


async def test_long_ids_of_requests_blind_no_log(live: Live) -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (reader, writer):
        end.setblocking(False)
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)  # as where the system allows no more
    listener = {"trusted_proxies": ["127.0.0.0/8"]}
    _origin, router, client = await live.pair(access_log=writer, listener=listener)
    ids: list[str] = []
    for number in range(30):
        await client.ask(request("GET", f"/{number}" + "t" * 2000, f"x-request-id: {number}" + "a" * 20_000))
        if number % 10 == 9:
            await router.records(10)
            router.tick()
            while len(ids) <= number:
                ids += [json.loads(line)["request_id"] for line in reader.recv(65_536).splitlines()]
    router.sweep()
    assert router.gauge(Gauge.LOG_LINES_DROPPED) == 0
    assert ids == [f"{number}" + "a" * (128 - len(str(number))) for number in range(30)]
    router.worker.front.services.access_log = None
    reader.close()
    writer.close()


# Faults of its own


class _Faulty:
    """A client whose timeout is dealt with once."""

    def __init__(self, *, fails: bool) -> None:
        self.deadline_s = 0.0
        self.fails = fails
        self.timeouts = 0

    def timed_out(self, _now_s: float) -> None:
        self.timeouts += 1
        if self.fails:
            raise ZeroDivisionError("that nobody foresaw")


async def test_a_timeout_that_fails_ends_no_worker_and_no_other_is_forgotten(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    router = await live.router(await live.origin())
    clients = [_Faulty(fails=number % 2 == 0) for number in range(6)]
    router.worker.admission.clients.update(clients)
    router.sweep()
    router.worker.admission.clients.clear()
    assert [client.timeouts for client in clients] == [1] * 6
    assert router.gauge(Gauge.INTERNAL_ERRORS) == 3
    assert caplog.text.count("Traceback") == 1
    caplog.clear()
    assert (await (await live.client(router)).ask(GET)).status == 200


async def test_a_pool_that_cannot_take_in_news_leaves_the_worker_alive(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await live.router(await live.origin())

    def fails(_now_s: float) -> None:
        raise ZeroDivisionError("that nobody foresaw")

    with monkeypatch.context() as patched:
        patched.setattr(type(router.worker), "take_in", lambda _self, now_s: fails(now_s))
        router.segment.heartbeat_s[0] = 0.0
        router.tick()
        assert router.segment.heartbeat_s[0] > 0.0
    router.sweep()
    assert router.gauge(Gauge.INTERNAL_ERRORS) == 1
    caplog.clear()
    router.tick()
    assert (await (await live.client(router)).ask(GET)).status == 200
