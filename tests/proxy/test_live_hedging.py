"""Requests that take longer than nearly all do, and are asked for at a second backend as well."""

import asyncio
import gc
import gzip
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.exchange.exchange import Exchange
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, Origin, ok

GET = request()
WARM = request("GET", "/warm")
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


class Held:
    """A script that answers ``/warm`` at once, and everything else with `pieces`: one for each `go` that is set."""

    def __init__(self, *pieces: bytes, then_close: bool = False) -> None:
        self.pieces = pieces
        self.go = [asyncio.Event() for _ in pieces]
        self.then_close = then_close
        self.asked = 0

    async def __call__(self, link: Link) -> None:
        while (await link.request()).start.split()[1] == b"/warm":
            await link.send(ok())
        self.asked += 1
        end = asyncio.create_task(link.end())
        try:
            for piece, go in zip(self.pieces, self.go, strict=True):
                await go.wait()
                await link.send(piece)
            if not self.then_close:
                await end
        finally:
            end.cancel()


async def warm(
    live: Live, *scripts: Held, config: dict[str, Any] | None = None, **pool: Any
) -> tuple[list[Origin], LiveRouter, Client]:
    """Backends that have answered quickly so far, and a client; its next request goes to the first."""
    origins = [await live.origin(script) for script in scripts]
    settings = {"hedging": {"min_delay_s": 0.05}, **pool}
    router = await live.router(*origins, pool=settings, **(config or {}))
    client = await live.client(router)
    for _ in range(50 * len(scripts)):
        assert (await client.ask(WARM)).body == b"ok"
    await router.records(50 * len(scripts))
    return origins, router, client


def _all_is_over(router: LiveRouter) -> bool:
    pool = router.worker.pools["web"]
    assert pool.hedging is not None
    return not any(router.in_flight) and pool.retries.active == 0 and pool.hedging.active == 0


async def test_a_slow_backend_is_overtaken(live: Live) -> None:
    slow, quick = Held(ok(b"slow")), Held(ok(b"quick"))
    quick.go[0].set()
    origins, router, client = await warm(live, slow, quick)
    assert (await client.ask(GET)).body == b"quick"
    await eventually(lambda: any(link.ended for link in origins[0].links) or not slow.go[0].is_set())
    records = sorted(await router.records(2), key=lambda record: int(record["attempt"]))
    assert [(record["backend"], record["outcome"], record["attempt"]) for record in records] == [
        (0, Outcome.HEDGE_LOST, 1),
        (1, Outcome.COMPLETE, 2),
    ]
    assert (router.gauge(Gauge.HEDGES), router.gauge(Gauge.HEDGES_WON), router.gauge(Gauge.RETRIES)) == (1, 1, 0)
    assert _all_is_over(router)
    slow.go[0].set()
    for _ in range(4):
        assert (await client.ask(WARM)).body == b"ok", "the answer that came too late is nobody's"


async def test_a_hedge_on_a_route_that_does_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFINITY_SECRET", "0123456789abcdef")
    text = b"a text that repeats itself " * 200
    plain = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
    slow, quick = Held(plain), Held(plain)
    quick.go[0].set()
    route = {"name": "all", "pool": "web", "compression": {}, "set_response_headers": {"x-served": "yes"}}
    affinity = {"kind": "cookie", "secret_env": "AFFINITY_SECRET"}
    _origins, router, client = await warm(live, slow, quick, config={"routes": [route]}, affinity=affinity)
    answer = await client.ask(request("GET", "/", "accept-encoding: gzip"))
    assert gzip.decompress(answer.body) == text
    assert answer.header(b"x-served") == b"yes"
    assert (answer.header(b"set-cookie") or b"").startswith(b"smartlb=")
    records = sorted(await router.records(2), key=lambda record: int(record["attempt"]))
    assert [record["outcome"] for record in records] == [Outcome.HEDGE_LOST, Outcome.COMPLETE]
    assert not any(router.in_flight)


async def test_the_first_attempt_may_still_answer_first(live: Live) -> None:
    slow, slower = Held(ok(b"slow")), Held(ok(b"slower"))
    _origins, router, client = await warm(live, slow, slower)
    await client.send(GET)
    await eventually(lambda: slower.asked)
    assert router.in_flight == [1, 1]
    slow.go[0].set()
    assert (await client.response()).body == b"slow"
    records = sorted(await router.records(2), key=lambda record: int(record["attempt"]))
    assert [record["outcome"] for record in records] == [Outcome.COMPLETE, Outcome.HEDGE_LOST]
    assert (router.gauge(Gauge.HEDGES), router.gauge(Gauge.HEDGES_WON)) == (1, 0)
    assert _all_is_over(router)
    assert (await client.ask(WARM)).body == b"ok"


async def test_a_response_that_has_begun_is_waited_for(live: Live) -> None:
    begun, other = Held(b"HTTP/1.1 200 OK\r\n", b"content-length: 2\r\n\r\nok"), Held(ok(b"other"))
    begun.go[0].set()
    _origins, router, client = await warm(live, begun, other)
    await client.send(GET)
    await asyncio.sleep(0.2)
    begun.go[1].set()
    assert (await client.response()).body == b"ok"
    assert other.asked == 0
    await router.record()


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_post_is_hedged_only_where_it_may_be_repeated(live: Live, allowed: bool) -> None:
    slow, quick = Held(ok(b"slow")), Held(ok(b"quick"))
    quick.go[0].set()
    _origins, router, client = await warm(live, slow, quick, retries={"non_idempotent": allowed})
    await client.send(request("POST", body=b"hello"))
    if not allowed:
        await asyncio.sleep(0.2)
        assert router.in_flight == [1, 0]
        slow.go[0].set()
    assert (await client.response()).body == (b"quick" if allowed else b"slow")
    await router.records(1 + allowed)
    assert _all_is_over(router)


@pytest.mark.parametrize(
    "limits",
    [
        {"retries": {"budget_min": 0, "budget_share": 0}},
        {"hedging": {"min_delay_s": 0.05, "max_in_flight": 1}},
    ],
)
async def test_budgets(live: Live, limits: dict[str, Any]) -> None:
    scripts = Held(ok(b"a")), Held(ok(b"b")), Held(ok(b"c"))
    _origins, router, client = await warm(live, *scripts, **limits)
    clients = [client, await live.client(router)]
    for each in clients:
        await each.send(GET)
    hedges = int("hedging" in limits)
    await eventually(lambda: router.gauge(Gauge.HEDGES_REFUSED) == 2 - hedges)
    assert router.gauge(Gauge.HEDGES) == hedges
    for script in scripts:
        script.go[0].set()
    for each in clients:
        assert (await each.response()).status == 200
    await router.records(2 + hedges)
    assert _all_is_over(router)


async def test_a_client_that_leaves_ends_both(live: Live) -> None:
    slow, slower = Held(ok(b"slow")), Held(ok(b"slower"))
    _origins, router, client = await warm(live, slow, slower)
    await client.send(GET)
    await eventually(lambda: slower.asked)
    client.reset()
    assert await router.outcomes(2) == [Outcome.CLIENT_GONE, Outcome.CLIENT_GONE]
    assert _all_is_over(router)


@pytest.mark.parametrize("first_to_fail", [0, 1])
async def test_one_that_fails_leaves_the_other(live: Live, first_to_fail: int) -> None:
    scripts = Held(b"", then_close=True), Held(b"", then_close=True)
    scripts[1 - first_to_fail].pieces = (ok(b"good"),)
    _origins, router, client = await warm(live, *scripts)
    await client.send(GET)
    await eventually(lambda: scripts[1].asked)
    scripts[first_to_fail].go[0].set()
    assert (await router.record())["outcome"] is Outcome.RESET
    assert _in_flight_at(router, 1 - first_to_fail)
    scripts[1 - first_to_fail].go[0].set()
    assert (await client.response()).body == b"good"
    assert (await router.record())["outcome"] is Outcome.COMPLETE
    assert _all_is_over(router)


def _in_flight_at(router: LiveRouter, position: int) -> bool:
    return router.in_flight == [int(at == position) for at in range(2)]


async def test_both_fail(live: Live) -> None:
    scripts = Held(b"", then_close=True), Held(b"", then_close=True)
    _origins, router, client = await warm(live, *scripts)
    await client.send(GET)
    await eventually(lambda: scripts[1].asked)
    for script in scripts:
        script.go[0].set()
    assert (await client.response()).error == "reset"
    assert await router.outcomes(2) == [Outcome.RESET, Outcome.RESET]
    assert _all_is_over(router)


async def test_a_status_that_is_retried_does_not_win(live: Live) -> None:
    slow, failing = Held(ok(b"slow")), Held(UNAVAILABLE)
    failing.go[0].set()
    _origins, router, client = await warm(live, slow, failing, retries={"retry_on": ["503"]})
    await client.send(GET)
    assert (await router.record())["status"] == 503
    slow.go[0].set()
    assert (await client.response()).body == b"slow"
    await router.record()
    assert _all_is_over(router)


async def test_both_are_late(live: Live) -> None:
    slow, slower = Held(ok(b"slow")), Held(ok(b"slower"))
    _origins, router, client = await warm(live, slow, slower, timeouts={"request_s": 5, "response_header_s": 5})
    await client.send(GET)
    await eventually(lambda: slower.asked)
    router.sweep(ahead_s=6)
    assert (await client.response()).error == "request_timeout"
    assert sorted(await router.outcomes(2)) == [Outcome.HEDGE_LOST, Outcome.REQUEST_TIMEOUT]
    assert _all_is_over(router)


async def test_a_hedge_that_cannot_connect_is_forgotten(live: Live) -> None:
    slow, gone = Held(ok(b"slow")), Held(ok(b"gone"))
    origins, router, client = await warm(live, slow, gone)
    origins[1].close_listener()
    for link in origins[1].links:
        link.reset()
    await eventually(lambda: router.worker.pools["web"].connections.idle_connection(1) is None)
    await client.send(GET)
    assert (await router.record())["outcome"] is Outcome.CONNECT_FAILED
    slow.go[0].set()
    assert (await client.response()).body == b"slow"
    await router.record()
    assert _all_is_over(router)


async def test_nothing_is_hedged_before_enough_is_known(live: Live) -> None:
    slow, quick = Held(ok(b"slow")), Held(ok(b"quick"))
    router = await live.router(
        await live.origin(slow), await live.origin(quick), pool={"hedging": {"min_delay_s": 0.01}}
    )
    client = await live.client(router)
    await client.send(GET)
    await asyncio.sleep(0.1)
    assert quick.asked == 0
    slow.go[0].set()
    assert (await client.response()).body == b"slow"


async def test_with_predictions_it_counts_how_long_a_request_takes_beside_them(live: Live) -> None:
    scripts = Held(ok(b"a")), Held(ok(b"b"))
    _origins, router, client = await warm(live, *scripts, policy="learned")
    router.publish(1, [1.0, 1.0])
    for _ in range(100):
        await client.ask(WARM)
    await router.records(100)
    router.publish(2, [1.0, 1.0])
    await client.send(GET)
    await eventually(lambda: all(script.asked for script in scripts))
    assert router.in_flight == [1, 1]
    for script in scripts:
        script.go[0].set()
    assert (await client.response()).status == 200
    await router.records(2)
    assert _all_is_over(router)


async def test_a_request_that_is_over_is_not_kept_for_its_hedge(live: Live) -> None:
    _origins, router, client = await warm(live, Held(), Held(), hedging={"min_delay_s": 30})
    for _ in range(20):
        assert (await client.ask(request("PUT", "/warm", body=bytes(100_000)))).status == 200
    await router.records(20)
    gc.collect()
    assert sum(isinstance(each, Exchange) for each in gc.get_objects()) <= 1


async def test_of_two_backends_only_the_one_that_answers_is_heard(live: Live) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: <%s>\r\n\r\n"
    slow, quick = Held(hint % b"slow", ok(b"slow")), Held(hint % b"quick", ok(b"quick"))
    _origins, router, client = await warm(live, slow, quick)
    await client.send(GET)
    await eventually(lambda: quick.asked)
    slow.go[0].set()
    quick.go[0].set()
    await asyncio.sleep(0.05)
    slow.go[1].set()
    assert (await client.response()).body == b"slow"
    await router.records(2)
