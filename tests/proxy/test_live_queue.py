"""max_in_flight, and the queue of requests that wait for room."""

import asyncio
from typing import Any

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, Origin, answering, ok

GET = request()


class Gate:
    """A script that answers when told: one request for each `open`."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._passes = asyncio.Semaphore(0)

    async def script(self, link: Link) -> None:
        while True:
            message = await link.request()
            self.seen.append(message.start.split(b" ")[1])
            await self._passes.acquire()
            await link.send(ok(message.body))

    def open(self, times: int = 1) -> None:
        for _ in range(times):
            self._passes.release()


async def _limited(live: Live, gate: Gate, **queue: Any) -> tuple[Origin, LiveRouter]:
    origin = await live.origin(gate.script)
    backend = {"address": origin.address, "max_in_flight": 1}
    return origin, await live.router(backend, pool={"queue": queue})


async def _ask_in_order(live: Live, router: LiveRouter, paths: list[str]) -> list[Client]:
    """One client for each path; each has sent, and the router has read, before the next begins."""
    clients = []
    for path in paths:
        client = await live.client(router)
        await client.send(request("GET", path))
        clients.append(client)
        await eventually(lambda: router.gauge(Gauge.WAITING) + sum(router.in_flight) == len(clients))
    return clients


async def test_requests_wait_in_order(live: Live) -> None:
    gate = Gate()
    origin, router = await _limited(live, gate)
    paths = [f"/{number}" for number in range(6)]
    clients = await _ask_in_order(live, router, paths)
    assert router.in_flight == [1]
    assert router.gauge(Gauge.WAITING) == 5
    for client in clients:
        gate.open()
        assert (await client.response()).status == 200
        assert router.in_flight in ([1], [0])
    assert gate.seen == [path.encode() for path in paths]
    assert len(origin.links) == 1
    records = await router.records(6)
    assert all(record["in_flight"] == 0 for record in records)
    assert [record["queued_s"] > 0 for record in records] == [False, *[True] * 5]


async def test_a_body_waits_at_its_client(live: Live) -> None:
    """What is read before there is room is kept; the rest is read once the request is on its way."""
    gate = Gate()
    _origin, router = await _limited(live, gate)
    (first,) = await _ask_in_order(live, router, ["/"])
    second = await live.client(router)
    await second.send(request("POST", "/", "content-length: 5") + b"he")
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    await second.send(b"llo" + GET)
    gate.open(3)
    assert (await first.response()).status == 200
    assert (await second.response()).body == b"hello"
    assert (await second.response()).status == 200


async def test_the_queue_is_full(live: Live) -> None:
    gate = Gate()
    _origin, router = await _limited(live, gate, max_waiting=1)
    clients = await _ask_in_order(live, router, ["/1", "/2"])
    third = await live.client(router)
    for _ in range(2):
        response = await third.ask(GET)
        assert (response.status, response.error, response.header(b"connection")) == (503, "queue_full", None)
    records = await router.records(2)
    assert all((r["outcome"], r["backend"]) == (Outcome.QUEUE_FULL, NO_BACKEND) for r in records)
    gate.open(2)
    assert [(await client.response()).status for client in clients] == [200, 200]


async def test_no_queue(live: Live) -> None:
    gate = Gate()
    _origin, router = await _limited(live, gate, max_waiting=0)
    (first,) = await _ask_in_order(live, router, ["/"])
    assert (await (await live.client(router)).ask(GET)).error == "queue_full"
    gate.open()
    assert (await first.response()).status == 200


async def test_waiting_too_long(live: Live) -> None:
    gate = Gate()
    _origin, router = await _limited(live, gate, timeout_s=5)
    first, second = await _ask_in_order(live, router, ["/1", "/2"])
    router.sweep(ahead_s=4)
    assert router.gauge(Gauge.WAITING) == 1
    router.sweep(ahead_s=6)
    response = await second.response()
    assert (response.status, response.error, response.header(b"connection")) == (503, "queue_timeout", None)
    assert router.gauge(Gauge.WAITING) == 0
    assert (await router.record())["outcome"] is Outcome.QUEUE_TIMEOUT
    gate.open(2)
    assert (await first.response()).status == 200
    assert (await second.ask(GET)).status == 200
    assert gate.seen == [b"/1", b"/"]


async def test_a_client_that_waits_may_leave(live: Live) -> None:
    gate = Gate()
    _origin, router = await _limited(live, gate)
    first, second, third = await _ask_in_order(live, router, ["/1", "/2", "/3"])
    await second.close()
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    assert (await router.record())["outcome"] is Outcome.CLIENT_GONE
    gate.open(2)
    assert (await first.response()).status == (await third.response()).status == 200
    assert gate.seen == [b"/1", b"/3"]


async def test_room_at_another_backend_is_used(live: Live) -> None:
    gate = Gate()
    origin, free = await live.origin(gate.script), await live.origin()
    router = await live.router({"address": origin.address, "max_in_flight": 1}, free)
    (first,) = await _ask_in_order(live, router, ["/"])
    other = await live.client(router)
    for _ in range(3):
        assert (await other.ask(GET)).status == 200
    assert len(free.requests) == 3
    gate.open()
    assert (await first.response()).status == 200


async def test_those_who_wait_get_503_when_the_last_backend_goes(live: Live) -> None:
    gate = Gate()
    _origin, router = await _limited(live, gate)
    first, second = await _ask_in_order(live, router, ["/1", "/2"])
    router.set_eligible(0)
    router.sweep()
    assert (await second.response()).error == "no_backend"
    gate.open()
    assert (await first.response()).status == 200


async def test_a_broken_exchange_makes_room(live: Live) -> None:
    broken = asyncio.Event()

    async def script(link: Link) -> None:
        await link.request()
        await broken.wait()

    origin = await live.origin(script)
    router = await live.router({"address": origin.address, "max_in_flight": 1})
    first, second = await _ask_in_order(live, router, ["/1", "/2"])
    await eventually(lambda: origin.requests)
    origin.script = answering
    broken.set()
    assert (await first.response()).status == 502
    assert (await second.response()).status == 200


async def test_a_stale_connection_keeps_its_place(live: Live) -> None:
    """A retry on a fresh connection is the same request: nobody else may take its place at the backend."""
    gate = Gate()

    async def stale(link: Link) -> None:
        await link.send(ok((await link.request()).body))
        await link.head()
        await close.wait()

    close = asyncio.Event()
    origin = await live.origin(stale)
    router = await live.router({"address": origin.address, "max_in_flight": 1})
    await (await live.client(router)).ask(GET)
    first, second = await _ask_in_order(live, router, ["/1", "/2"])
    origin.script = gate.script
    close.set()
    await eventually(lambda: gate.seen)
    assert (gate.seen, router.in_flight) == ([b"/1"], [1])
    gate.open(2)
    assert (await first.response()).status == (await second.response()).status == 200


# Priorities

_ROUTES = [
    {"name": "high", "pool": "web", "priority": 1, "match": {"path_prefix": "/high"}},
    {"name": "low", "pool": "web", "priority": -1, "match": {"path_prefix": "/low"}},
    {"name": "all", "pool": "web"},
]


async def _prioritised(live: Live, gate: Gate, **queue: Any) -> LiveRouter:
    origin = await live.origin(gate.script)
    backend = {"address": origin.address, "max_in_flight": 1}
    return await live.router(backend, pool={"queue": queue}, routes=_ROUTES)


async def test_requests_of_higher_priority_leave_the_queue_first(live: Live) -> None:
    gate = Gate()
    router = await _prioritised(live, gate)
    paths = ["/first", "/low/1", "/1", "/high/1", "/low/2", "/2", "/high/2"]
    clients = await _ask_in_order(live, router, paths)
    gate.open(len(paths))
    assert [(await client.response()).status for client in clients] == [200] * len(paths)
    assert gate.seen == [b"/first", b"/high/1", b"/high/2", b"/1", b"/2", b"/low/1", b"/low/2"]


async def test_the_last_of_the_lowest_priority_gives_its_place_away(live: Live) -> None:
    gate = Gate()
    router = await _prioritised(live, gate, max_waiting=3)
    clients = await _ask_in_order(live, router, ["/first", "/low/1", "/1", "/low/2"])
    high = await live.client(router)
    await high.send(request("GET", "/high"))
    displaced = await clients[3].response()
    assert (displaced.status, displaced.error) == (503, "queue_full")
    assert router.gauge(Gauge.WAITING) == 3
    # Nobody of lower priority than this one is left but one, which came before.
    assert (await clients[3].ask(request("GET", "/low/3"))).error == "queue_full"
    gate.open(4)
    assert (await high.response()).status == 200
    assert [(await client.response()).status for client in clients[:3]] == [200] * 3
    assert gate.seen == [b"/first", b"/high", b"/1", b"/low/1"]


async def test_a_displaced_client_with_more_requests_gets_all_its_answers(live: Live) -> None:
    """Its next request wants a place in the queue at the moment at which it loses its own."""
    gate = Gate()
    router = await _prioritised(live, gate, max_waiting=1)
    first, low = await _ask_in_order(live, router, ["/first", "/low/1"])
    await low.send(request("GET", "/low/2"), request("GET", "/low/3"))
    high = await live.client(router)
    await high.send(request("GET", "/high"))
    assert [(await low.response()).error for _ in range(3)] == ["queue_full"] * 3
    gate.open(2)
    assert [(await client.response()).status for client in (first, high)] == [200, 200]


async def test_a_request_that_waited_is_not_sent_and_given_up_in_one_sweep(live: Live) -> None:
    async def script(link: Link) -> None:
        while b"/hangs" not in (await link.request()).start:
            await link.send(ok())
        await link.end()

    origin = await live.origin(script)
    router = await live.router(
        {"address": origin.address, "max_in_flight": 1},
        pool={"timeouts": {"response_header_s": 5}, "queue": {"timeout_s": 5}},
    )
    one, two = await live.client(router), await live.client(router)
    await one.send(request("GET", "/hangs"))
    await eventually(lambda: len(origin.requests) == 1)
    await two.send(request("POST", "/two", body=b"x"))
    await eventually(lambda: len(router.worker.pools["web"].waiting) == 1)
    router.sweep(ahead_s=5.05)
    assert (await one.response()).status == 504
    # Whichever of the two is looked at first, the second is not sent and then given up.
    assert (await two.response()).status in (200, 503)
    assert (await router.outcomes(2)).count(Outcome.RESPONSE_TIMEOUT) == 1


async def test_what_waits_for_another_backend_holds_up_nobody(live: Live) -> None:
    gate, hold = asyncio.Event(), asyncio.Event()

    async def script(link: Link) -> None:
        while True:
            message = await link.request()
            if b"/first" in message.start:
                await gate.wait()
                await link.send(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
                continue
            if b"/y" in message.start:
                await hold.wait()
            await link.send(ok(b"a"))

    a, b = await live.origin(script), await live.origin()
    backends = [{"address": origin.address, "max_in_flight": 1} for origin in (a, b)]
    pool = {"retries": {"retry_on": ["503"]}, "queue": {"timeout_s": 5}}
    router = await live.router(*backends, pool=pool, workers=2)
    first, y, z = [await live.client(router) for _ in range(3)]
    await first.send(request("GET", "/first"))
    await eventually(lambda: len(a.requests) == 1)
    router.segment.in_flight[1, 1] = 1  # the other worker has sent B a request
    gate.set()
    waiting = router.worker.pools["web"].waiting
    await eventually(lambda: len(waiting) == 1)  # the retry, for B
    await y.send(request("GET", "/y"))
    await eventually(lambda: len(a.requests) == 2)
    await z.send(request("GET", "/z"))
    await eventually(lambda: len(waiting) == 2)
    hold.set()
    assert (await y.response()).body == b"a"
    assert (await z.response()).body == b"a"
    router.segment.in_flight[1, 1] = 0
    assert (await first.response()).status == 200
    await router.records(4)
