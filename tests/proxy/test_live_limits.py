"""What a pool as a whole may be given: its limit of requests at once, slow start, and panic."""

import asyncio

import pytest

from smartlb.core.segment import Gauge
from smartlb.policies.registry import POLICIES
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, ok, saying

GET = request()


async def test_a_pool_takes_only_so_many_requests_at_once(live: Live) -> None:
    answer = asyncio.Event()

    async def script(link: Link) -> None:
        while True:
            await link.request()
            await answer.wait()
            await link.send(ok())

    origins = [await live.origin(script) for _ in range(3)]
    router = await live.router(*origins, pool={"max_in_flight": 2, "queue": {"max_waiting": 1}})
    clients = [await live.client(router) for _ in range(3)]
    for client in clients:
        await client.send(GET)
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    assert sum(router.in_flight) == 2
    refused = await (await live.client(router)).ask(GET)
    assert (refused.status, refused.error) == (503, "queue_full")
    answer.set()
    assert [(await client.response()).status for client in clients] == [200, 200, 200]


async def test_a_retry_keeps_the_place_that_its_request_has(live: Live) -> None:
    failing = await live.origin(saying(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"))
    good = await live.origin()
    router = await live.router(failing, good, pool={"max_in_flight": 1, "retries": {"retry_on": ["503"]}})
    client = await live.client(router)
    for _ in range(3):
        assert (await client.ask(GET)).status == 200
    assert failing.requests


async def test_a_request_is_not_retried_while_others_wait_for_its_place(live: Live) -> None:
    fail = asyncio.Event()

    async def failing(link: Link) -> None:
        await link.request()
        await fail.wait()
        await link.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        await link.end()

    router = await live.router(
        await live.origin(failing),
        await live.origin(),
        pool={"max_in_flight": 1, "retries": {"retry_on": ["503"]}},
    )
    first, second = await live.client(router), await live.client(router)
    await first.send(GET)
    await eventually(lambda: router.in_flight == [1, 0])
    await second.send(GET)
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    fail.set()
    assert ((await first.response()).status, (await second.response()).status) == (503, 200)


async def test_the_requests_of_other_workers_count_too(live: Live) -> None:
    origin = await live.origin()
    router = await live.router(origin, pool={"max_in_flight": 2, "queue": {"max_waiting": 0}}, workers=2)
    pool = router.worker.pools["web"]
    other = router.segment.in_flight_row(1)
    other[0] = 2
    assert pool.selection.choose(0, 0, 1e9, ()) == -2
    other[0] = 1
    assert pool.selection.choose(0, 0, 2e9, ()) == 0
    other[0] = 0


def _picks(router: LiveRouter, ahead_s: float, count: int = 400) -> list[int]:
    """How many of `count` requests the pool's policy sends to each backend, all of them under way at once."""
    pool = router.worker.pools["web"]
    now_s = asyncio.get_running_loop().time() + ahead_s
    picked = []
    for key in range(count):
        position = pool.selection.choose(0, key * 7_919 * 2**40, now_s, ())
        pool.selection.began(position)
        picked.append(position)
    for position in picked:
        pool.ended(position)
    return [picked.count(position) for position in range(len(pool.settings.backends))]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_backend_that_comes_back_starts_slowly_under_every_policy(live: Live, policy: str) -> None:
    backends = [await live.origin() for _ in range(2)]
    router = await live.router(*backends, pool={"policy": policy, "slow_start_s": 100})
    if policy == "learned":
        router.publish(1, [0.5, 0.5], ahead_s=1000)
    router.set_eligible(0, 1)
    assert _picks(router, 0)[0] == 0
    router.set_eligible(1, 1)
    assert _picks(router, 0)[0] <= 0.1 * 400
    assert _picks(router, 50)[0] <= 0.36 * 400
    before = router.worker.pools["web"].selection._slow_start
    assert before
    whole = _picks(router, 101)
    assert not before
    if policy not in ("ip_hash", "url_hash", "least_time"):
        assert whole[0] >= 0.3 * 400


async def test_all_backends_may_start_at_once(live: Live) -> None:
    backends = [await live.origin() for _ in range(3)]
    router = await live.router(*backends, pool={"slow_start_s": 100})
    router.set_eligible(0, 0, 0)
    router.set_eligible(1, 1, 1)
    picks = _picks(router, 0)
    assert sum(picks) == 400
    assert min(picks) > 100


async def test_what_a_panic_brings_in_has_its_whole_share(live: Live) -> None:
    backends = [await live.origin() for _ in range(2)]
    router = await live.router(*backends, pool={"slow_start_s": 100})
    router.set_eligible(0, 1)
    router.set_eligible(2, 1)
    assert _picks(router, 0) == [200, 200]
