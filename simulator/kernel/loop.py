"""The passing of time: whatever is next happens."""

from math import inf
from typing import Any, Final

from simulator.kernel.backend import complete, take_answer
from simulator.kernel.compiling import compiled
from simulator.kernel.events import schedule
from simulator.kernel.router import Routing, arrive, dispatch, end, time_out
from simulator.kernel.state import NOBODY, Array, State

REACHED: Final = 0
WANTS_REQUESTS: Final = 1
LOG_FULL: Final = 2
JOBS_FULL: Final = 3

_ENTRIES_AN_EVENT = 2


@compiled
def run_until(until_s: float, requests: Array, more: bool, routing: Routing, random: Any, state: State) -> int:
    """Let all happen that happens before `until_s`.

    Args:
        until_s: infinity for until nothing is left.
        requests: `REQUEST`; the chunk that arrives now.
        more: whether another chunk follows.
        routing: how to route.
        random: a numpy generator, for the policy's draws.
        state: changed.

    Returns:
        `REACHED`, or why it stopped before: `WANTS_REQUESTS`, `LOG_FULL`, `JOBS_FULL`.
    """
    clock = state.clock[0]
    while True:
        first = state.winner[1]
        event_s = state.next_s[first]
        due_s = inf
        if clock.first_due != NOBODY:
            due_s = state.jobs[clock.first_due].dispatched_s + clock.timeout_s
        arrival_s = inf
        if clock.at < len(requests):
            arrival_s = requests[clock.at].at_s
        elif more:
            return WANTS_REQUESTS
        now_s = min(event_s, due_s, arrival_s)
        if now_s >= until_s or now_s == inf:
            return REACHED
        if clock.logged + _ENTRIES_AN_EVENT > len(state.log):
            return LOG_FULL
        clock.now_s = now_s
        if event_s == now_s:
            server = state.world.servers[first]
            if server.first_back != NOBODY and state.jobs[server.first_back].back_s <= now_s:
                slot = take_answer(state, first)
                schedule(state, first)
                if end(state, slot, now_s, routing):
                    dispatch(state, slot, now_s, routing, random)
            else:
                complete(state, first, now_s)
        elif due_s == now_s:
            time_out(state, clock.first_due, now_s, routing)
        else:
            if clock.free == 0:
                return JOBS_FULL
            slot = arrive(state, requests[clock.at])
            clock.at += 1
            dispatch(state, slot, now_s, routing, random)
