"""Requests that another backend answers after the first one failed, and those that must not be sent twice."""

import asyncio
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, Origin, Script, ok, saying

GET = request()
POST = request("POST", body=b"hello")
PUT = request("PUT", body=b"hello")
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


async def _resetting(link: Link) -> None:
    await link.request()


async def _silent(link: Link) -> None:
    await link.request()
    await link.end()


async def _failing_first(live: Live, script: Script, **retries: Any) -> tuple[Origin, Origin, LiveRouter, Client]:
    """A backend that follows `script`, one that answers, and a client; the first request goes to the former."""
    failing, good = await live.origin(script), await live.origin()
    router = await live.router(failing, good, pool={"retries": retries})
    return failing, good, router, await live.client(router)


async def test_a_status_is_retried_and_the_client_never_sees_it(live: Live) -> None:
    failing, good, router, client = await _failing_first(
        live, saying(UNAVAILABLE), retry_on=["502-504"], attempts_header=True
    )
    response = await client.ask(PUT)
    assert (response.status, response.body, response.header(b"smartlb-attempts")) == (200, b"hello", b"2")
    assert (len(failing.requests), len(good.requests)) == (1, 1)
    first, second = await router.records(2)
    assert (first["backend"], first["outcome"], first["status"], first["attempt"]) == (0, Outcome.COMPLETE, 503, 1)
    assert (second["backend"], second["outcome"], second["status"], second["attempt"]) == (1, Outcome.COMPLETE, 200, 2)
    assert second["queued_s"] >= first["total_s"]
    assert router.gauge(Gauge.RETRIES) == 1
    for _ in range(2):
        assert (await client.ask(GET)).status == 200
    assert (len(failing.requests), len(failing.links)) == (2, 1), "its whole response came: the connection is kept"


async def test_a_status_whose_body_still_comes_costs_the_connection(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.request()
        await link.send(UNAVAILABLE[:-2])
        await link.end()

    failing, _good, _router, client = await _failing_first(live, script, retry_on=["503"])
    assert (await client.ask(GET)).status == 200
    await eventually(lambda: failing.links[0].ended)


async def test_other_statuses_are_relayed(live: Live) -> None:
    _failing, good, router, client = await _failing_first(live, saying(UNAVAILABLE), retry_on=["502", "reset"])
    response = await client.ask(GET)
    assert (response.status, response.body, response.header(b"smartlb-attempts")) == (503, b"busy", None)
    assert good.requests == []
    assert router.gauge(Gauge.RETRIES) == 0


@pytest.mark.parametrize(
    ("cause", "outcome", "script"),
    [
        ("reset", Outcome.RESET, _resetting),
        ("malformed", Outcome.MALFORMED, saying(b"hello\r\n\r\n", then_close=True)),
        ("reset", Outcome.RESET, saying(b"HTTP/1.1 200 OK\r\ncont", then_close=True)),
    ],
)
async def test_a_broken_exchange_is_retried(live: Live, cause: str, outcome: Outcome, script: Script) -> None:
    _failing, _good, router, client = await _failing_first(live, script, retry_on=[cause])
    assert (await client.ask(PUT)).body == b"hello"
    first, second = await router.records(2)
    assert (first["outcome"], first["status"]) == (outcome, 0)
    assert (second["outcome"], second["attempt"]) == (Outcome.COMPLETE, 2)


async def test_a_response_that_has_begun_is_never_retried(live: Live) -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"
    _failing, good, router, client = await _failing_first(live, saying(cut, then_close=True), retry_on=["reset"])
    await client.send(GET)
    await client.cut()
    assert (await router.record())["outcome"] is Outcome.TRUNCATED
    assert good.requests == []


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("script", [_resetting, saying(UNAVAILABLE)])
async def test_a_post_is_sent_twice_only_where_that_is_allowed(live: Live, allowed: bool, script: Script) -> None:
    _failing, good, _router, client = await _failing_first(
        live, script, retry_on=["reset", "503"], non_idempotent=allowed
    )
    response = await client.ask(POST)
    assert response.status == (200 if allowed else 503 if script is not _resetting else 502)
    assert len(good.requests) == allowed


async def test_a_body_that_was_not_there_at_once_is_not_sent_again(live: Live) -> None:
    _failing, good, router, client = await _failing_first(live, saying(UNAVAILABLE), retry_on=["503"])
    await client.send(request("PUT", "/", "content-length: 5") + b"he")
    await eventually(lambda: any(router.in_flight))
    await client.send(b"llo")
    assert (await client.response()).status == 503
    assert good.requests == []


async def test_no_backend_gets_a_request_twice(live: Live) -> None:
    origins = [await live.origin(saying(UNAVAILABLE)) for _ in range(3)]
    router = await live.router(*origins, pool={"retries": {"retry_on": ["503"], "max_attempts": 10}})
    response = await (await live.client(router)).ask(GET)
    assert (response.status, response.body) == (503, b"busy")
    assert [len(origin.requests) for origin in origins] == [1, 1, 1]
    records = await router.records(3)
    assert [record["attempt"] for record in records] == [1, 2, 3]


async def test_only_so_many_attempts_are_made(live: Live) -> None:
    origins = [await live.origin(saying(UNAVAILABLE)) for _ in range(4)]
    router = await live.router(*origins, pool={"retries": {"retry_on": ["503"], "max_attempts": 3}})
    assert (await (await live.client(router)).ask(GET)).status == 503
    assert sum(len(origin.requests) for origin in origins) == 3
    await router.records(3)


async def test_no_retries_at_all(live: Live) -> None:
    failing, good = await live.origin(), await live.origin()
    router = await live.router(failing, good, pool={"retries": {"max_attempts": 1}})
    failing.close_listener()
    response = await (await live.client(router)).ask(GET)
    assert (response.status, response.error) == (502, "connect_failed")
    await router.record()


async def test_an_attempt_that_takes_too_long_gives_way_to_another(live: Live) -> None:
    failing, _good, router, client = await _failing_first(
        live, _silent, retry_on=["response_timeout"], attempt_timeout_s=2
    )
    await client.send(GET)
    await eventually(lambda: failing.requests)
    router.sweep(ahead_s=1)
    assert router.in_flight == [1, 0]
    router.sweep(ahead_s=3)
    assert (await client.response()).status == 200
    assert await router.outcomes(2) == [Outcome.RESPONSE_TIMEOUT, Outcome.COMPLETE]
    await eventually(lambda: failing.links[0].ended)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_attempt_that_nothing_may_follow_has_all_the_time(live: Live, method: str) -> None:
    origins = [await live.origin(_silent) for _ in range(2 if method == "POST" else 1)]
    router = await live.router(
        *origins,
        pool={
            "retries": {"retry_on": ["response_timeout"], "attempt_timeout_s": 2},
            "timeouts": {"response_header_s": 5, "request_s": 50},
        },
    )
    client = await live.client(router)
    await client.send(request(method, body=b"hello"))
    await eventually(lambda: origins[0].requests)
    router.sweep(ahead_s=3)
    router.sweep(ahead_s=4)
    assert sum(router.in_flight) == 1
    router.sweep(ahead_s=6)
    assert (await client.response()).error == "response_timeout"
    await router.record()


async def test_the_budget(live: Live) -> None:
    """With room for one retry at a time, of two requests that fail together one gets another attempt."""
    first_two = iter(range(2))
    together = asyncio.Barrier(2)
    answer = asyncio.Event()

    async def script(link: Link) -> None:
        while True:
            await link.request()
            if next(first_two, None) is not None:
                await together.wait()
                await link.send(UNAVAILABLE)
            else:
                await answer.wait()
                await link.send(ok())

    router = await live.router(
        await live.origin(script),
        await live.origin(script),
        pool={"retries": {"retry_on": ["503"], "budget_share": 0, "budget_min": 1}},
    )
    clients = [await live.client(router) for _ in range(2)]
    for client in clients:
        await client.send(GET)
    await eventually(lambda: router.gauge(Gauge.RETRIES_REFUSED) == 1)
    assert router.gauge(Gauge.RETRIES) == 1
    answer.set()
    assert sorted([(await client.response()).status for client in clients]) == [200, 503]
    assert router.worker.pools["web"].retries.active == 0


async def test_connection_failures_ask_no_budget(live: Live) -> None:
    gone, good = await live.origin(), await live.origin()
    router = await live.router(gone, good, pool={"retries": {"budget_share": 0, "budget_min": 0}})
    gone.close_listener()
    client = await live.client(router)
    for _ in range(4):
        assert (await client.ask(POST)).body == b"hello"
    assert router.gauge(Gauge.RETRIES_REFUSED) == 0


async def test_a_client_that_leaves_during_a_retry_gives_its_place_back(live: Live) -> None:
    failing, silent = await live.origin(saying(UNAVAILABLE)), await live.origin(_silent)
    router = await live.router(failing, silent, pool={"retries": {"retry_on": ["503"]}})
    client = await live.client(router)
    await client.send(GET)
    await eventually(lambda: silent.requests)
    retries = router.worker.pools["web"].retries
    assert retries.active == 1
    client.reset()
    await eventually(lambda: retries.active == 0)
    assert await router.outcomes(2) == [Outcome.COMPLETE, Outcome.CLIENT_GONE]
