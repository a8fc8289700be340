"""Many clients and backends that fail in every way at once: what must hold however requests are retried."""

import asyncio
from collections import Counter
from random import Random

import pytest

from smartlb.core.record import NO_BACKEND
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import Link, Script, ok

_CLIENTS, _REQUESTS = 8, 40
_METHODS = ("GET", "HEAD", "PUT", "POST")
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\n"


def _unreliable(random: Random) -> Script:
    """A script that answers well half of the time."""

    async def script(link: Link) -> None:
        while True:
            message = await link.request()
            await asyncio.sleep(random.choice((0, 0, 0.001)))
            body = b"" if message.start.startswith(b"HEAD ") else b"busy"
            match random.randrange(8):
                case 0:
                    await link.send(_UNAVAILABLE + body)
                case 1:
                    await link.send(_UNAVAILABLE + body[:2])
                    await asyncio.sleep(0.001)
                    await link.send(body[2:])
                case 2:
                    return
                case 3:
                    await link.send(b"what?\r\n\r\n")
                    await link.end()
                case _:
                    answer = ok(message.body or b"ok")
                    await link.send(answer if body else answer[: answer.find(b"\r\n\r\n") + 4])

    return script


@pytest.mark.parametrize("seed", range(4))
async def test_every_request_is_answered_once_and_no_backend_sees_it_twice(live: Live, seed: int) -> None:
    random = Random(seed)
    origins = [await live.origin(_unreliable(random)) for _ in range(4)]
    limited = [{"address": origin.address, "max_in_flight": 2} for origin in origins]
    router = await live.router(
        *limited,
        pool={
            "retries": {"max_attempts": 3, "retry_on": ["reset", "malformed", "503"], "budget_share": 0.5},
            "ejection": None,
            "idle_connections": {"max_per_backend": 1},
        },
    )
    statuses: Counter[int] = Counter()

    async def ask(number: int) -> None:
        client = await live.client(router)
        for turn in range(_REQUESTS):
            method = _METHODS[(number + turn) % len(_METHODS)]
            body = f"{number}-{turn}".encode() if method in ("PUT", "POST") else None
            await client.send(request(method, f"/{number}/{turn}", body=body))
            response = await client.response(head=method == "HEAD")
            statuses[response.status] += 1
            if response.status == 200 and body is not None:
                assert response.body == body

    await asyncio.gather(*[ask(number) for number in range(_CLIENTS)])
    assert statuses.total() == _CLIENTS * _REQUESTS
    assert set(statuses) <= {200, 502, 503}
    # Half of all attempts fail; those that may be repeated seldom fail three times.
    assert statuses[200] > 0.6 * statuses.total()

    pool = router.worker.pools["web"]
    await eventually(lambda: not any(router.in_flight))
    assert pool.retries.active == 0
    assert pool.retries.begun > 0
    seen = [Counter(message.start for message in origin.requests) for origin in origins]
    everywhere = sum(seen, Counter())
    assert all(count == 1 for start, count in everywhere.items() if start.startswith(b"POST "))
    # A backend may see a request once more where it had closed an idle connection.
    repeated = sum(count - 1 for each in seen for count in each.values())
    assert repeated <= router.worker.front.services.stale_retries
    records = await router.records(statuses.total() + pool.retries.begun)
    assert max(record["attempt"] for record in records) <= 3
    assert sum(record["backend"] == NO_BACKEND for record in records) <= statuses[503]
