"""The states of an exchange: what the table says can happen, happens, and nothing else does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.exchange.exchange import Exchange
from smartlb.exchange.states import NAMES, OVER, TRANSITIONS, mermaid
from smartlb.ports.clock import Clock
from smartlb.ports.services import Services
from smartlb.stages.stage import Stage
from smartlb.wire.pieces import RequestIds
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter, request
from tests.proxy.origin import Link, ok
from tests.stages.probes import Gate, Whole
from tests.stages.test_live_ends import SWITCHED, UPGRADE

PAGE = Path(__file__).parents[2] / "docs" / "exchange.md"

EDGES = {(NAMES[state], NAMES[after]) for state, following in TRANSITIONS.items() for after in following}


async def only_warm(link: Link) -> None:
    """A backend that answers /warm alone; of other requests, the test says what it answers."""
    while (await link.request()).start.split()[1] == b"/warm":
        await link.send(ok())
    await link.end()


class Play:
    """One exchange, between a client and two backends with room for one request each, event by event."""

    def __init__(self, router: LiveRouter, client: Client) -> None:
        self.router = router
        self.client = client
        self.pool = router.worker.pools["web"]
        (self.connection,) = router.worker.admission.clients
        self.exchange: Any = None
        self.began = False
        self.gates = [Gate(), Gate()]

    @property
    def state(self) -> str:
        if self.exchange is not None:
            return NAMES[self.exchange.state]
        return "over" if self.began else "new"

    def send(self, data: bytes) -> None:
        """Have the router read something of the client's."""
        self.connection.data_received(data)
        self.exchange = self.exchange or self.connection.exchange
        self.began = True

    def respond(self, data: bytes) -> None:
        """Have it read something of the backend's."""
        self.exchange.attempt.connection.data_received(data)

    def elsewhere(self, *counts: int) -> None:
        """Say what another worker has in flight, of which this one hears when it picks."""
        self.router.segment.in_flight[1] = counts
        self.router.worker.clock.ahead_s += 0.01

    async def changed(self) -> None:
        """Run the loop until the state is another one."""
        before = self.state
        async with asyncio.timeout(10):
            while self.state == before:
                await asyncio.sleep(0)


Event = Callable[[Play], Awaitable[None] | None]


def sends(data: bytes) -> Event:
    return lambda play: play.send(data)


def responds(data: bytes) -> Event:
    return lambda play: play.respond(data)


def stages(choose: Callable[[Play], Sequence[Stage]]) -> Event:
    return lambda play: play.router.stage(*choose(play))


def cool(play: Play) -> None:
    """No connection to a backend is idle."""
    play.pool.connections.close_idle(inf)


def fill(play: Play) -> None:
    """Other workers' requests take all the room that is left."""
    play.elsewhere(*(1 - count for count in play.router.in_flight))


def free(play: Play) -> None:
    """They are over, and who waits is served."""
    play.elsewhere(0, 0)
    play.pool.waiting.serve()


def none_healthy(play: Play) -> None:
    play.router.set_eligible(0, 0)


def cannot_connect(play: Play) -> None:
    play.exchange.connect_failed(play.exchange.attempt, Outcome.CONNECT_FAILED)


async def wait(play: Play) -> None:
    """What is under way goes on by itself."""
    await play.changed()


async def leave(play: Play) -> None:
    """The client goes."""
    play.client.reset()
    await eventually(lambda: play.state == "over")


async def opens(play: Play) -> None:
    """The first gate lets the request go on."""
    await eventually(lambda: play.gates[0].asked)
    play.gates[0].open()
    await play.changed()


async def opens_first(play: Play) -> None:
    """Likewise, and the request comes to the second."""
    await eventually(lambda: play.gates[0].asked)
    play.gates[0].open()
    await eventually(lambda: play.gates[1].asked)


async def opens_second(play: Play) -> None:
    play.gates[1].open()
    await play.changed()


get = sends(request())
half = sends(request("POST", "/", "content-length: 5") + b"he")
rest = sends(b"llo")
body = sends(b"hello")
expecting = sends(request("POST", "/", "expect: 100-continue", "content-length: 5"))
upgrade = sends(UPGRADE)
begins = responds(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
ends = responds(b"llo")
continues = responds(b"HTTP/1.1 100 Continue\r\n\r\n")
unavailable = responds(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
no_chunk = responds(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n")
switches = responds(SWITCHED)
gate = stages(lambda play: play.gates[:1])
two_gates = stages(lambda play: play.gates)
whole = stages(lambda _: [Whole()])
gate_and_whole = stages(lambda play: [play.gates[0], Whole()])
whole_and_gate = stages(lambda play: [Whole(), play.gates[0]])

Step = tuple[Event, str]
"""What happens, and the states through which that leads, the last of which can be seen; empty for a preparation."""

PLAYS: dict[str, list[Step]] = {
    "over a new connection": [
        (cool, ""),
        (get, "connecting"),
        (wait, "awaiting"),
        (begins, "relaying"),
        (ends, "over"),
    ],
    "over an idle one": [(get, "awaiting"), (begins, "relaying"), (leave, "over")],
    "nobody is there": [(none_healthy, ""), (get, "over")],
    "a body over a new connection": [(cool, ""), (half, "connecting"), (wait, "sending"), (rest, "awaiting")],
    "a body over an idle one": [(half, "sending"), (leave, "over")],
    "an early answer": [(half, "sending"), (begins, "relaying")],
    "100": [(expecting, "awaiting"), (continues, "sending"), (body, "awaiting"), (leave, "over")],
    "a tunnel": [(upgrade, "awaiting"), (switches, "tunnel"), (leave, "over")],
    "waits, then goes to a new connection": [
        (fill, ""),
        (cool, ""),
        (get, "waiting"),
        (free, "connecting"),
        (leave, "over"),
    ],
    "waits, then goes to an idle one": [(fill, ""), (get, "waiting"), (free, "awaiting")],
    "a body waits": [(fill, ""), (half, "waiting"), (free, "sending")],
    "waits in vain": [(fill, ""), (get, "waiting"), (leave, "over")],
    "the next connection": [(cool, ""), (get, "connecting"), (cannot_connect, "connecting"), (wait, "awaiting")],
    "the next backend is full": [(cool, ""), (get, "connecting"), (fill, ""), (cannot_connect, "waiting")],
    "busy, and the next over an idle one": [(get, "awaiting"), (unavailable, "awaiting")],
    "busy, and the next over a new one": [(get, "awaiting"), (cool, ""), (unavailable, "connecting")],
    "busy, and the next is full": [(get, "awaiting"), (fill, ""), (unavailable, "waiting")],
    "broken, and the next over an idle one": [(get, "awaiting"), (no_chunk, "relaying awaiting")],
    "broken, and the next over a new one": [(get, "awaiting"), (cool, ""), (no_chunk, "relaying connecting")],
    "broken, and the next is full": [(get, "awaiting"), (fill, ""), (no_chunk, "relaying waiting")],
    "suspended, then over a new connection": [
        (gate, ""),
        (cool, ""),
        (get, "suspended"),
        (opens, "connecting"),
    ],
    "suspended, then over an idle one": [(gate, ""), (get, "suspended"), (opens, "awaiting")],
    "suspended with a body": [(gate, ""), (half, "suspended"), (opens, "sending")],
    "suspended, then full": [(gate, ""), (get, "suspended"), (fill, ""), (opens, "waiting")],
    "suspended twice": [(two_gates, ""), (get, "suspended"), (opens_first, "suspended"), (opens_second, "awaiting")],
    "suspended, then left": [(gate, ""), (get, "suspended"), (leave, "over")],
    "suspended, then collecting": [
        (gate_and_whole, ""),
        (half, "suspended"),
        (opens, "collecting"),
        (rest, "awaiting"),
    ],
    "collecting, then suspended": [(whole_and_gate, ""), (half, "collecting"), (rest, "suspended")],
    "collecting, then over a new connection": [(whole, ""), (cool, ""), (half, "collecting"), (rest, "connecting")],
    "collecting, then full": [(whole, ""), (half, "collecting"), (fill, ""), (rest, "waiting")],
    "collecting, then left": [(whole, ""), (half, "collecting"), (leave, "over")],
}

OF_TCP = {("new", "connecting"), ("connecting", "relaying"), ("relaying", "over")}


def edges(play: list[Step]) -> set[tuple[str, str]]:
    return set(pairwise(["new", *(state for _, states in play for state in states.split())]))


def test_every_transition_is_played() -> None:
    assert {edge for play in PLAYS.values() for edge in edges(play)} | OF_TCP == EDGES


@pytest.mark.parametrize("steps", PLAYS.values(), ids=PLAYS.keys())
async def test_what_the_table_allows(live: Live, steps: list[Step]) -> None:
    backends = [
        {"address": (await live.origin(only_warm)).address, "name": name, "max_in_flight": 1} for name in ("a", "b")
    ]
    retries = {"retry_on": ["connect_failed", "503", "malformed"], "max_attempts": 3}
    router = await live.router(
        *backends,
        pool={"retries": retries, "queue": {"max_waiting": 1, "timeout_s": 5}, "upgrades": ["websocket"]},
        workers=2,
    )
    client = await live.client(router)
    for _ in backends:
        assert (await client.ask(request("GET", "/warm"))).body == b"ok"
    play = Play(router, client)
    for event, states in steps:
        done = event(play)
        if done is not None:
            await done
        if states:
            assert play.state == states.split()[-1]
    play.elsewhere(0, 0)


async def test_a_tcp_connection(live: Live) -> None:
    async def greeting(link: Link) -> None:
        await link.send(b"hello")

    origin = await live.origin(greeting)
    router = await live.router(origin, listener={"protocol": "tcp", "pool": "web"})
    client = await live.client(router)
    await eventually(lambda: router.worker.admission.tcp_sessions)
    (session,) = router.worker.admission.tcp_sessions
    seen = [NAMES[session.state]]
    while session.state != OVER:
        await asyncio.sleep(0)
        if NAMES[session.state] != seen[-1]:
            seen.append(NAMES[session.state])
        if seen[-1] == "relaying":
            await client.close()
    assert set(pairwise(["new", *seen])) <= OF_TCP
    assert seen[-2:] == ["relaying", "over"]


@pytest.mark.parametrize("state", range(len(NAMES)), ids=NAMES)
def test_what_the_table_forbids(state: int) -> None:
    exchange = Exchange(Services(Clock(), None, RequestIds(0)), 0)  # type: ignore[arg-type]
    for after in range(len(NAMES)):
        exchange.state = state
        if after in TRANSITIONS[state]:
            exchange.enter(after)
            assert exchange.state == after
            continue
        with pytest.raises(RuntimeError, match=f"cannot go from {NAMES[state]} to {NAMES[after]}"):
            exchange.enter(after)
        assert exchange.state == state


def test_every_state_can_end() -> None:
    reached = {OVER}
    for _ in NAMES:
        reached |= {state for state, following in TRANSITIONS.items() if following & reached}
    assert reached == set(range(len(NAMES)))


def test_the_page_has_the_picture() -> None:
    assert f"```mermaid\n{mermaid()}\n```" in PAGE.read_text()
