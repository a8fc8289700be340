"""What a worker's connections and exchanges leave behind when they are over: nothing."""

import asyncio
import gc
from collections import Counter

from smartlb.downstream.http1 import ClientConnection
from smartlb.exchange.http import HttpExchange
from smartlb.exchange.tunnel import Tunnel
from tests.eventually import eventually
from tests.proxy.live import Live, request
from tests.proxy.origin import answering

KINDS = (ClientConnection, HttpExchange, Tunnel)
GET = request()


def _counted() -> Counter[str]:
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in KINDS)


async def test_clients_of_every_kind_leave_nothing(live: Live) -> None:
    before = _counted()
    origin = await live.origin(answering)
    router = await live.router(origin)
    first = await live.client(router)
    await first.ask(GET)
    assert _counted()["ClientConnection"] == before["ClientConnection"] + 1
    first.reset()
    del first
    for number in range(60):
        client = await live.client(router)
        match number % 5:
            case 0:
                assert (await client.ask(GET)).status == 200
                await client.close()
            case 1:
                await client.send(GET)
                client.reset()
            case 2:
                await client.send(GET[:10])
                client.reset()
            case 3:
                await client.send(b"nonsense\r\n\r\n")
                await client.cut()
                client.reset()  # or the router would wait for its end of the connection
            case _:
                await client.send(request("POST", body=b"x" * 100)[:-50])
                await asyncio.sleep(0)
                client.reset()
    await eventually(lambda: router.worker.idle and not any(router.in_flight))
    live.clients.clear()
    await eventually(lambda: _counted() <= before)
