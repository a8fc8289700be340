"""What happens at a backend: requests are refused, wait, are served, and are answered."""

from math import nan

from simulator.kernel.compiling import compiled
from simulator.kernel.events import schedule
from simulator.kernel.heap import pop, push
from simulator.kernel.slots import free
from simulator.kernel.state import ABANDONED, LATEST, LOST, NOBODY, SERVED, TRAVELLING, WAITING, Row, State
from smartlb.core.outcome import Outcome

_COMPLETE = int(Outcome.COMPLETE)
_CONNECT_FAILED = int(Outcome.CONNECT_FAILED)
_RESET = int(Outcome.RESET)

REPORT_S = 1.0
"""A backend measures its utilisation and rates over this long."""


@compiled
def advance(server: Row, now_s: float) -> None:
    """Bring a backend's clock up to the present."""
    server.virtual_s += (now_s - server.since_s) * server.rate
    server.since_s = now_s


@compiled
def advance_tracked(state: State, server: Row, now_s: float) -> None:
    """The same, and count for how long its cores were busy, where somebody wants to know."""
    if state.clock[0].tracked and server.speed > 0.0:
        server.busy_s += (now_s - server.since_s) * min(float(server.serving), server.cores)
    advance(server, now_s)


@compiled
def pace(server: Row) -> None:
    """Set the rate of a backend's clock by its speed and by how many it serves."""
    serving = float(server.serving)
    rate = server.speed
    if serving > server.cores:
        rate *= server.cores / serving
    if server.growth > 0.0 and serving > 1.0:
        rate /= 1.0 + server.growth * (serving - 1.0)
    server.rate = rate


@compiled
def receive(state: State, backend: int, slot: int, now_s: float) -> None:
    """A request comes to a backend."""
    server, job = state.world.servers[backend], state.jobs[slot]
    if state.clock[0].tracked:
        advance_tracked(state, server, now_s)
        job.met = server.serving + server.waiting
    if server.crashed:
        answer(state, backend, slot, now_s, _CONNECT_FAILED, 502)
    elif server.hanging:
        job.place = LOST
    elif job.fail_draw < server.fail:
        _refuse(state, backend, slot, now_s, 500)
    elif server.serving + server.waiting >= server.room:
        _refuse(state, backend, slot, now_s, 503)
    else:
        pace_of_class = state.world.speed[backend, job.request_class]
        if job.tail_draw < server.tail:
            pace_of_class /= server.tail_factor
        whole = job.first_s >= job.work_s
        job.work_s /= pace_of_class
        job.first_s /= pace_of_class
        job.staged = 0 if whole else 1
        if state.clock[0].tracked:
            _take_lane(state, backend, job.work_s)
        if server.serving < server.slots:
            _serve(state, backend, slot, now_s)
        else:
            job.place = WAITING
            job.next = NOBODY
            if server.last_waiting == NOBODY:
                server.first_waiting = slot
            else:
                state.jobs[server.last_waiting].next = slot
            server.last_waiting = slot
            server.waiting += 1
            return
    schedule(state, backend)


@compiled
def _refuse(state: State, backend: int, slot: int, now_s: float, status: int) -> None:
    server = state.world.servers[backend]
    if state.clock[0].tracked:
        server.errors += 1.0
        _report(server, now_s)
    answer(state, backend, slot, now_s, _COMPLETE, status)


@compiled
def _take_lane(state: State, backend: int, work_s: float) -> None:
    """Kiefer and Wolfowitz's vector: when each core will be free, if nothing changes."""
    server, lane_v = state.world.servers[backend], state.world.lane_v
    if server.slots > server.cores or server.growth > 0.0:
        return
    first = server.heap
    for at in range(server.heap, server.heap + server.slots):
        if lane_v[at] < lane_v[first]:
            first = at
    lane_v[first] = max(lane_v[first], server.virtual_s) + work_s


@compiled
def _serve(state: State, backend: int, slot: int, now_s: float) -> None:
    server, job = state.world.servers[backend], state.jobs[slot]
    advance(server, now_s)
    job.place = SERVED
    job.started_s = now_s
    job.finish_v = server.virtual_s + job.work_s
    until_v = server.virtual_s + job.first_s if job.staged else job.finish_v
    push(state.world.heap_v, state.heap_job, server.heap, server.serving, until_v, slot)
    server.serving += 1
    pace(server)


@compiled
def complete(state: State, backend: int, now_s: float) -> None:
    """The request of a backend whose turn it is reaches its first byte, or its end."""
    server = state.world.servers[backend]
    advance_tracked(state, server, now_s)
    # Exactly, so that rounding does not pile up.
    server.virtual_s = state.world.heap_v[server.heap]
    slot = pop(state.world.heap_v, state.heap_job, server.heap, server.serving)
    job = state.jobs[slot]
    if job.staged:
        job.staged = 0
        job.first_byte_s = now_s + server.round_trip_s
        push(state.world.heap_v, state.heap_job, server.heap, server.serving - 1, job.finish_v, slot)
        schedule(state, backend)
        return
    server.serving -= 1
    if job.place == ABANDONED:
        free(state, slot)
    else:
        if state.clock[0].tracked:
            _tell(state, backend, slot, now_s)
        answer(state, backend, slot, now_s, _COMPLETE, 200)
    while server.serving < server.slots and server.first_waiting != NOBODY:
        following = _next_waiting(state, backend)
        if state.jobs[following].place == ABANDONED:
            free(state, following)
        else:
            server.waiting -= 1
            _serve(state, backend, following, now_s)
    pace(server)
    schedule(state, backend)


@compiled
def _next_waiting(state: State, backend: int) -> int:
    server = state.world.servers[backend]
    slot = server.first_waiting
    server.first_waiting = state.jobs[slot].next
    if server.first_waiting == NOBODY:
        server.last_waiting = NOBODY
    return int(slot)


@compiled
def _tell(state: State, backend: int, slot: int, now_s: float) -> None:
    """Keep what references may want to know of a request that was served."""
    server, job, world = state.world.servers[backend], state.jobs[slot], state.world
    job.reported_s = now_s - job.started_s
    job.reported_queue = server.waiting
    at = server.latest % LATEST
    world.latest_s[backend, at] = now_s - job.dispatched_s
    world.latest_met[backend, at] = job.met
    server.latest += 1
    server.done += 1.0
    _report(server, now_s)


@compiled
def _report(server: Row, now_s: float) -> None:
    """Measure anew, once in `REPORT_S`."""
    over_s = now_s - server.reported_s
    if over_s >= REPORT_S:
        server.utilisation = server.busy_s / (server.cores * over_s)
        server.rate_s = (server.done + server.errors) / over_s
        server.error_rate_s = server.errors / over_s
        server.busy_s = server.done = server.errors = 0.0
        server.reported_s = now_s


@compiled
def answer(state: State, backend: int, slot: int, now_s: float, outcome: int, status: int) -> None:
    """Send the end of a request on its way back; the caller schedules the backend's next event."""
    server, job = state.world.servers[backend], state.jobs[slot]
    job.outcome, job.status = outcome, status
    job.place = TRAVELLING
    # The way there and the way back are one delay, on the way back: seen from the backend, all requests then come
    # half a round trip early, which shifts its time and changes nothing else.
    job.back_s = now_s + server.round_trip_s
    job.next = NOBODY
    if server.last_back == NOBODY:
        server.first_back = slot
    else:
        state.jobs[server.last_back].next = slot
    server.last_back = slot


@compiled
def take_answer(state: State, backend: int) -> int:
    """The answer that has arrived at the router."""
    server = state.world.servers[backend]
    slot = server.first_back
    server.first_back = state.jobs[slot].next
    if server.first_back == NOBODY:
        server.last_back = NOBODY
    return int(slot)


@compiled
def abandon(state: State, slot: int) -> None:
    """The router gives up on a request: a backend skips it in its queue, and serves it to its end if it has begun."""
    job = state.jobs[slot]
    if job.place == LOST:
        free(state, slot)
        return
    if job.place == WAITING:
        state.world.servers[job.backend].waiting -= 1
    job.place = ABANDONED


@compiled
def evict(state: State, backend: int, now_s: float, lost: bool) -> None:
    """Everything at a backend ends unserved: it crashed, or (`lost`) will never answer."""
    server = state.world.servers[backend]
    advance(server, now_s)
    for at in range(server.serving):
        _end_unserved(state, backend, state.heap_job[server.heap + at], now_s, lost)
    state.world.lane_v[server.heap : server.heap + server.slots] = server.virtual_s
    server.serving = 0
    while server.first_waiting != NOBODY:
        _end_unserved(state, backend, _next_waiting(state, backend), now_s, lost)
    server.waiting = 0
    pace(server)
    schedule(state, backend)


@compiled
def _end_unserved(state: State, backend: int, slot: int, now_s: float, lost: bool) -> None:
    job = state.jobs[slot]
    if job.place == ABANDONED:
        free(state, slot)
    elif lost:
        job.place = LOST
    else:
        job.first_byte_s = nan
        answer(state, backend, slot, now_s, _RESET, 502)


@compiled
def change(
    state: State,
    backend: int,
    now_s: float,
    speed: float,
    crashed: bool,
    hanging: bool,
    fail: float,
    tail: float,
    tail_factor: float,
) -> None:
    """A backend's condition changes; see `BACKEND` for what each number is."""
    server = state.world.servers[backend]
    advance_tracked(state, server, now_s)
    crashes, hangs = crashed and not server.crashed, hanging and not server.hanging
    server.speed = speed
    server.crashed, server.hanging = crashed, hanging
    server.fail, server.tail, server.tail_factor = fail, tail, tail_factor
    pace(server)
    if crashes or hangs:
        evict(state, backend, now_s, not crashes)
    else:
        schedule(state, backend)
