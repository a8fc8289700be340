"""What happens at a router: a request comes, is sent to a backend, and ends."""

from math import inf, isnan, nan
from typing import Any, NamedTuple

import numpy as np

from simulator.kernel.backend import abandon, receive
from simulator.kernel.compiling import compiled
from simulator.kernel.machine_code import show
from simulator.kernel.slots import free
from simulator.kernel.state import NOBODY, TRAVELLING, Array, Row, State
from smartlb.core.outcome import FIRST_BACKEND_FAULT, TOO_MANY_REQUESTS, Outcome
from smartlb.core.record import NO_BACKEND as BACKEND_OF_NONE
from smartlb.core.view import PoolView

_COMPLETE = int(Outcome.COMPLETE)
_CONNECT_FAILED = int(Outcome.CONNECT_FAILED)
_RESPONSE_TIMEOUT = int(Outcome.RESPONSE_TIMEOUT)
_NO_BACKEND = int(Outcome.NO_BACKEND)

_MOST_ATTEMPTS = 2  # as in the router: a request of which nothing was sent is sent again, once


class Routing(NamedTuple):
    """How requests are routed; the same for all routers but for what their policies remember.

    Attributes:
        pick, observe: of a compiled policy; see `simulator.kernel.machine_code`.
        pick_python, observe_python: of a reference or a policy in Python; see `simulator.kernel.python_policy`.
        in_python: which of the two pairs is called.
        observes: whether the policy measures.
        pool: what routers know of the pool; its `in_flight` is not used.
        memory: uint8 ``[routers, bytes]``; the policy's memory of each router.
        layout: where each part of a memory begins and ends.
        parts: uint64 ``[routers, parts]``; the same as addresses.
        drawn: how many random numbers a pick takes.
    """

    pick: Any
    observe: Any
    pick_python: Any
    observe_python: Any
    in_python: bool
    observes: bool
    pool: PoolView
    memory: Array
    layout: Array
    parts: Array
    drawn: int


@compiled
def arrive(state: State, request: Row) -> int:
    """A slot for a request that has come."""
    clock = state.clock[0]
    clock.free -= 1
    slot = state.free[clock.free]
    job = state.jobs[slot]
    job.request = clock.requests
    job.arrived_s = request.at_s
    job.work_s = request.work_s
    job.first_s = request.first_s
    job.key = request.url if clock.by_url else request.client
    job.router = request.router
    job.request_class = request.request_class
    job.fail_draw = request.fail_draw
    job.tail_draw = request.tail_draw
    job.attempt = 1
    job.tried = NOBODY
    if clock.tracked:
        job.reported_s = 0.0
        job.reported_queue = 0
    clock.requests += 1
    return int(slot)


@compiled
def dispatch(state: State, slot: int, now_s: float, routing: Routing, random: Any) -> None:
    """Pick a backend and send the request there, or answer that there is none."""
    job = state.jobs[slot]
    view = routing.pool
    job.dispatched_s = now_s
    job.first_byte_s = nan
    row = 0 if state.clock[0].shared else job.router
    view = PoolView(
        eligible=view.eligible,
        barred=view.barred,
        in_flight=state.in_flight[row],
        weight=view.weight,
        draw=view.draw,
        explore=view.explore,
        base_s=view.base_s,
        slope_s=view.slope_s,
        sight=view.sight,
    )
    if job.tried != NOBODY:
        view = _without(state, view, job.tried)
    if len(view.eligible) == 0:
        job.outcome, job.status = _NO_BACKEND, 503
        job.in_flight = 0
        job.backend = BACKEND_OF_NONE
        _log(state, slot, now_s, True)
        free(state, slot)
        return
    draws = state.draws[: routing.drawn]
    for at in range(routing.drawn):
        draws[at] = random.random()
    backend = choose(state, job, view, now_s, draws, routing)
    job.backend = backend
    job.in_flight = state.in_flight[row, backend]
    state.in_flight[row, backend] += 1
    job.place = TRAVELLING
    _await(state, slot)
    receive(state, backend, slot, now_s)


@compiled
def choose(state: State, job: Row, view: PoolView, now_s: float, draws: Array, routing: Routing) -> int:
    """What the policy picks."""
    of = job.request_class
    if routing.in_python:
        state.world.work_s[0] = job.work_s
        memory = routing.memory[job.router]
        chosen: int = routing.pick_python(view, state.world, memory, routing.layout, of, job.key, now_s, draws)
        return chosen
    parts = routing.parts[job.router].ctypes.data
    picked: int = routing.pick(show(state, view), parts, of, job.key, now_s, draws.ctypes.data)
    return picked


@compiled
def _without(state: State, view: PoolView, tried: int) -> PoolView:
    """The view of a request that has failed at a backend already; as in the router, running sums stay as they are."""
    count = 0
    for at in view.eligible:
        if at != tried:
            state.eligible[count] = at
            count += 1
    for at in range(len(view.weight)):
        state.barred[at] = inf if at == tried else view.barred[at]
    return PoolView(
        eligible=state.eligible[:count],
        barred=state.barred,
        in_flight=view.in_flight,
        weight=view.weight,
        draw=view.draw,
        explore=view.explore,
        base_s=view.base_s,
        slope_s=view.slope_s,
        sight=view.sight,
    )


@compiled
def end(state: State, slot: int, now_s: float, routing: Routing) -> bool:
    """An answer has come; returns whether the request is to be sent again."""
    job = state.jobs[slot]
    if job.place != TRAVELLING:  # its router had given it up
        free(state, slot)
        return False
    answered = job.outcome == _COMPLETE
    if answered and isnan(job.first_byte_s):
        job.first_byte_s = now_s
    again = job.outcome == _CONNECT_FAILED and job.attempt < _MOST_ATTEMPTS and _others(routing.pool, job.backend)
    _settle(state, slot, now_s, routing, not again)
    if again:
        job.attempt += 1
        job.tried = job.backend
        return True
    free(state, slot)
    return False


@compiled
def time_out(state: State, slot: int, now_s: float, routing: Routing) -> None:
    """A request has waited too long for its answer."""
    job = state.jobs[slot]
    job.outcome, job.status = _RESPONSE_TIMEOUT, 504
    _settle(state, slot, now_s, routing, True)
    abandon(state, slot)


@compiled
def _others(view: PoolView, backend: int) -> bool:
    count = len(view.eligible)
    return count > 1 or (count == 1 and view.eligible[0] != backend)


@compiled
def _settle(state: State, slot: int, now_s: float, routing: Routing, last: bool) -> None:
    job = state.jobs[slot]
    _await_no_more(state, slot)
    row = 0 if state.clock[0].shared else job.router
    state.in_flight[row, job.backend] -= 1
    if routing.observes:
        failed = job.outcome >= FIRST_BACKEND_FAULT or job.status >= 500 or job.status == TOO_MANY_REQUESTS
        first_s = now_s if isnan(job.first_byte_s) else job.first_byte_s
        tell(state, job, now_s, first_s - job.dispatched_s, failed, routing)
    _log(state, slot, now_s, last)


@compiled
def tell(state: State, job: Row, now_s: float, latency_s: float, failed: bool, routing: Routing) -> None:
    """Tell a policy that measures how a request ended."""
    if routing.in_python:
        state.world.report[0] = job.reported_queue
        state.world.report[1] = job.reported_s
        memory = routing.memory[job.router]
        routing.observe_python(state.world, memory, routing.layout, job.backend, now_s, latency_s, failed)
    else:
        parts = routing.parts[job.router].ctypes.data
        routing.observe(parts, np.int32(job.backend), now_s, latency_s, np.int32(failed))


@compiled
def _log(state: State, slot: int, now_s: float, last: bool) -> None:
    clock, job = state.clock[0], state.jobs[slot]
    entry = state.log[clock.logged]
    clock.logged += 1
    entry.request = job.request
    entry.arrived_s = job.arrived_s
    entry.queued_s = job.dispatched_s - job.arrived_s
    entry.first_byte_s = job.first_byte_s - job.dispatched_s
    entry.total_s = now_s - job.dispatched_s
    entry.in_flight = job.in_flight
    entry.backend = job.backend
    entry.request_class = job.request_class
    entry.router = job.router
    entry.status = job.status
    entry.outcome = job.outcome
    entry.attempt = job.attempt
    entry.last = 1 if last else 0


@compiled
def _await(state: State, slot: int) -> None:
    """All requests have the same timeout, so the one dispatched last is the last to time out."""
    clock, jobs = state.clock[0], state.jobs
    jobs[slot].due_before = clock.last_due
    jobs[slot].due_after = NOBODY
    if clock.last_due == NOBODY:
        clock.first_due = slot
    else:
        jobs[clock.last_due].due_after = slot
    clock.last_due = slot


@compiled
def _await_no_more(state: State, slot: int) -> None:
    clock, jobs = state.clock[0], state.jobs
    before, after = jobs[slot].due_before, jobs[slot].due_after
    if before == NOBODY:
        clock.first_due = after
    else:
        jobs[before].due_after = after
    if after == NOBODY:
        clock.last_due = before
    else:
        jobs[after].due_before = before
