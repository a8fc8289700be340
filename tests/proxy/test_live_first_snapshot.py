"""The first snapshot of a worker, which the learner may be replacing as the worker starts."""

import asyncio
from time import monotonic

from smartlb.core.segment import Gauge
from tests.proxy.live import Live


async def test_a_snapshot_that_is_being_replaced_is_waited_for(live: Live) -> None:
    router = await live.router(await live.origin(), pool={"policy": "learned"})
    router.publish(1, [1.0], ahead_s=-1000)
    header = router.segment.snapshot._header
    sequence = header["sequence"]
    sequence += 1  # as the learner leaves it while it writes
    header["published_s"] = monotonic()
    starting = asyncio.create_task(router.worker.begin())
    await asyncio.sleep(0)
    assert not starting.done()
    sequence += 1
    await starting
    assert router.gauge(Gauge.FALLBACK) == 0


async def test_a_snapshot_too_old_to_use_is_not_waited_for(live: Live) -> None:
    router = await live.router(await live.origin(), pool={"policy": "learned"})
    router.publish(1, [1.0], ahead_s=-1000)
    await router.worker.begin()
    assert router.gauge(Gauge.FALLBACK) == 1
