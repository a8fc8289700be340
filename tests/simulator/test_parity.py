"""A recorded run of the live router, picked again by the simulator's kernel: one source, one behaviour."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES
from smartlb.upstream.pool import Pool
from tests.proxy.live import Live, LiveRouter, request
from tests.proxy.origin import Link, ok
from tests.simulator.kernel_calls import InKernel

BACKENDS = 5
REQUESTS = 240


@dataclass
class Recording:
    """What a live pool's policy was asked and told, in order, and what it answered."""

    events: list[tuple[str, tuple[Any, ...], int]] = field(default_factory=list)

    def attach(self, pool: Pool) -> None:
        for chooser in {pool._primary, pool._fallback}:  # one and the same but for learned pools
            chooser.pick = self._recorded(chooser.pick)
        pool._use(pool._fallback if pool.on_fallback else pool._primary)
        if pool.observe is not None:
            pool.observe = self._observed(pool.observe)

    def _recorded(self, pick: Callable[..., int]) -> Callable[..., int]:
        def recorded(view: PoolView, memory: Any, *arguments: Any) -> int:
            copies: list[Any] = [np.array(part).copy() for part in view[:-1]]
            seen = PoolView(*copies)._replace(sight=view.sight)
            picked = pick(view, memory, *arguments)
            self.events.append(("pick", (seen, *arguments), picked))
            return picked

        return recorded

    def _observed(self, observe: Callable[..., None]) -> Callable[..., None]:
        def observed(memory: Any, *arguments: Any) -> None:
            self.events.append(("observe", arguments, -1))
            observe(memory, *arguments)

        return observed


def picked_again(policy: InKernel, events: Sequence[tuple[str, tuple[Any, ...], int]]) -> list[int]:
    """What the simulator's kernel picks at each of the recorded picks."""
    picks = []
    for what, arguments, _ in events:
        if what == "pick":
            picks.append(policy.pick(*arguments))
        else:
            policy.observe(*arguments)
    return picks


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    live = Live()
    yield live
    await live.end()


async def drive(router: LiveRouter, live: Live, learned: bool) -> None:
    """Requests from several connections at once, and once in a while a change of what may be picked."""
    chance = Random(5)
    clients = [await live.client(router) for _ in range(8)]
    for turn in range(REQUESTS // len(clients)):
        if learned:
            router.publish(turn + 1, [chance.uniform(0.05, 1.0) for _ in range(BACKENDS)])
        if turn % 7 == 3:
            router.set_eligible(*(int(at != turn % BACKENDS) for at in range(BACKENDS)))
        await asyncio.gather(*(client.ask(request("GET", f"/{chance.randrange(9)}")) for client in clients))


async def uneven(link: Link) -> None:
    """A backend that takes its time, and now and then fails."""
    for turn in count():
        await link.request()
        await asyncio.sleep(0.002 * ((link.number + turn) % 4))
        await link.send(b"HTTP/1.1 500 Error\r\ncontent-length: 0\r\n\r\n" if turn % 11 == 10 else ok())


@pytest.mark.parametrize("name", POLICIES)
async def test_the_compiled_policy_picks_what_the_live_router_picked(name: str, live: Live) -> None:
    policy = POLICIES[name]
    origins = [await live.origin(uneven) for _ in range(BACKENDS)]
    weight = [1.0, 2.0, 0.5, 1.0, 4.0]
    backends = [
        {"name": f"b{at}", "address": origin.address, "weight": weight[at]} for at, origin in enumerate(origins)
    ]
    router = await live.router(*backends, pool={"policy": name, "ejection": None})
    learned = name == "learned"
    if learned:
        router.publish(1, [1.0 / BACKENDS] * BACKENDS)
    recording = Recording()
    recording.attach(router.worker._pools["web"])
    await drive(router, live, learned)

    picks = [picked for what, _, picked in recording.events if what == "pick"]
    assert len(picks) == REQUESTS
    kernel = InKernel(policy, policy.options(), Members([f"b{at}" for at in range(BACKENDS)], weight))
    assert picked_again(kernel, recording.events) == picks
    assert len(set(picks)) > 1
