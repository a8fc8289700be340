"""What the kernel works on: structured arrays, all of them made once a run.

Times are seconds of simulated time. A backend has a clock of its own, its virtual time: it advances at the rate at
which each request in service gets its work done, so a slow-down, a pause, processor sharing or a growing batch
changes one number and leaves the order of completions as it is.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Row = Any
"""A row of a structured array: in compiled code its fields are attributes, which numpy's types do not know."""

NOBODY: Final = -1
"""The end of a list of jobs, and no backend."""

# Where a job is.
TRAVELLING: Final = 0  # on its way back to the router, or not sent yet
WAITING: Final = 1  # in its backend's queue
SERVED: Final = 2
LOST: Final = 3  # at a backend that will never answer
ABANDONED: Final = 4  # timed out; the backend does not know

LATEST: Final = 16
"""How many of a backend's latest latencies are kept for references that measure at the server."""

BACKEND = np.dtype(
    [
        # What it is.
        ("slots", "i8"),  # how many requests are served at once; more wait, first come, first served
        ("cores", "f8"),  # how many of them progress at full speed; beyond that they share
        ("growth", "f8"),  # by how much each further one served slows all of them
        ("room", "i8"),  # most requests served and waiting; more are answered 503
        ("round_trip_s", "f8"),
        ("heap", "i8"),  # where its part of `State.heap_v` and `heap_job` begins
        # How it is, as faults have it.
        ("speed", "f8"),  # factor; 0 while it is paused
        ("fail", "f8"),  # probability that a request is answered 500 at once
        ("tail", "f8"),  # probability that a request takes `tail_factor` times its work
        ("tail_factor", "f8"),
        ("crashed", "i8"),  # refuses connections
        ("hanging", "i8"),  # takes requests and never answers
        # What is going on.
        ("virtual_s", "f8"),  # its clock at `since_s`
        ("since_s", "f8"),
        ("rate", "f8"),  # of its clock
        ("serving", "i8"),
        ("waiting", "i8"),
        ("first_waiting", "i8"),
        ("last_waiting", "i8"),
        ("first_back", "i8"),  # of the answers on their way to the router
        ("last_back", "i8"),
        # What it could report.
        ("busy_s", "f8"),  # core seconds used since `reported_s`
        ("done", "f8"),  # requests answered since `reported_s`
        ("errors", "f8"),  # those of them that failed
        ("reported_s", "f8"),
        ("utilisation", "f8"),  # of the last report: share of its cores in use
        ("rate_s", "f8"),  # requests a second
        ("error_rate_s", "f8"),
        ("latest", "i8"),  # latencies recorded so far
    ],
    align=True,
)

JOB = np.dtype(
    [
        ("request", "i8"),
        ("arrived_s", "f8"),
        ("dispatched_s", "f8"),
        ("work_s", "f8"),
        ("first_s", "f8"),
        ("finish_v", "f8"),  # by the backend's clock
        ("first_byte_s", "f8"),  # when the response's first byte is at the router; NaN before it is known
        ("started_s", "f8"),  # when service began
        ("back_s", "f8"),  # when the answer is at the router
        ("reported_s", "f8"),  # service time and queue as the backend reports them with its answer
        ("key", "u8"),
        ("reported_queue", "i8"),
        ("next", "i8"),  # in the list that it is in
        ("due_before", "i8"),  # neighbours by the time at which they time out
        ("due_after", "i8"),
        ("backend", "i8"),
        ("router", "i4"),
        ("request_class", "i4"),
        ("in_flight", "i4"),
        ("met", "i4"),  # requests at the backend when it came
        ("fail_draw", "f4"),
        ("tail_draw", "f4"),
        ("status", "i4"),
        ("outcome", "i4"),
        ("attempt", "i4"),
        ("place", "i4"),
        ("staged", "i4"),  # 1 until its first byte, where that comes before the end
        ("tried", "i4"),  # the backend that refused it before
    ],
    align=True,
)

LOG = np.dtype(
    [
        ("request", "<u8"),  # counts the workload's requests from 0
        ("arrived_s", "<f8"),
        ("queued_s", "<f4"),
        ("first_byte_s", "<f4"),
        ("total_s", "<f4"),
        ("in_flight", "<u4"),
        ("backend", "<u4"),
        ("request_class", "<u2"),
        ("router", "<u2"),
        ("status", "<u2"),
        ("outcome", "u1"),
        ("attempt", "u1"),
        ("last", "<u4"),  # 1 for the attempt that ended the request
    ]
)
"""One attempt at a request. The fields that it shares with `smartlb.core.record.RECORD` mean the same there."""

VIEW = np.dtype(
    [
        ("eligible", "u8"),
        ("room", "i8"),
        ("barred", "u8"),
        ("in_flight", "u8"),
        ("size", "i8"),
        ("weight", "u8"),
        ("draw", "u8"),
        ("explore", "u8"),
        ("base_s", "u8"),
        ("slope_s", "u8"),
        ("sight", "f8"),
    ],
    align=True,
)
"""`View` of `smartlb/policies/compiled.pxd`; pointers are addresses."""

CLOCK = np.dtype(
    [
        ("now_s", "f8"),
        ("timeout_s", "f8"),
        ("requests", "i8"),  # arrived so far
        ("at", "i8"),  # position in the present chunk of requests
        ("free", "i8"),  # how many of `State.free` are free
        ("logged", "i8"),  # how much of `State.log` is filled
        ("first_due", "i8"),
        ("last_due", "i8"),
        ("shared", "i8"),  # whether all routers count in one row
        ("by_url", "i8"),  # which of a request's keys the policy gets
        ("tracked", "i8"),  # whether what references need is kept
    ],
    align=True,
)


class World(NamedTuple):
    """What a reference may know beyond what a router can.

    Attributes:
        servers: `BACKEND` ``[backends]``.
        speed: ``[backends, classes]``; work done in a second.
        heap_v: when requests in service end, by each backend's clock; see `BACKEND.heap`.
        lane_v: when each of a first-come-first-served backend's cores will be free, likewise.
        work_s: ``[1]``; of the request that is being routed.
        report: ``[2]``; queue length and service time in seconds, as the backend of the request that `observe` is told
            of reported them with its answer.
        latest_s: ``[backends, LATEST]``; latencies at the backend, the newest at ``(servers.latest - 1) % LATEST``.
        latest_met: ``[backends, LATEST]``; how many other requests those found there.
    """

    servers: Array
    speed: Array
    heap_v: Array
    lane_v: Array
    work_s: Array
    report: Array
    latest_s: Array
    latest_met: Array


class State(NamedTuple):
    """All that changes in a run.

    Attributes:
        clock: `CLOCK` ``[1]``.
        world: the backends.
        jobs: `JOB`; requests under way, in slots that are used again.
        free: the slots that are free, as a stack.
        heap_job: the job of each entry of `World.heap_v`.
        next_s: ``[leaves]``; when each backend's next event is; infinity for none.
        winner: ``[2 * leaves]``; a tournament over `next_s`, its winner at 1.
        in_flight: int32 ``[routers or 1, backends]``.
        log: `LOG`; what has ended, as far as ``clock.logged``.
        draws: room for a pick's random numbers.
        seen: `VIEW` ``[1]``; what a compiled policy looks at.
        eligible, barred: room for the view of a request that may not go everywhere.
    """

    clock: Array
    world: World
    jobs: Array
    free: Array
    heap_job: Array
    next_s: Array
    winner: Array
    in_flight: Array
    log: Array
    draws: Any
    seen: Any
    eligible: Any
    barred: Any


def empty_world(backends: int = 0, classes: int = 0, slots: int = 0) -> World:
    """A world of zeros.

    Args:
        backends: how many.
        classes: how many request classes.
        slots: of all backends together.
    """
    return World(
        servers=np.zeros(backends, BACKEND),
        speed=np.ones((backends, classes)),
        heap_v=np.zeros(slots),
        lane_v=np.zeros(slots),
        work_s=np.zeros(1),
        report=np.zeros(2),
        latest_s=np.zeros((backends, LATEST)),
        latest_met=np.zeros((backends, LATEST), np.int64),
    )


class Server(NamedTuple):
    """What a backend is, for the kernel; see `BACKEND`.

    Attributes:
        slots: requests served at once.
        cores: of them at full speed.
        growth: by how much each further one slows all.
        room: most requests served and waiting.
        round_trip_s: network.
        speed: work done in a second, by request class.
    """

    slots: int
    cores: float
    growth: float
    room: int
    round_trip_s: float
    speed: tuple[float, ...]


def make_state(
    servers: list[Server],
    routers: int,
    shared: bool,
    timeout_s: float,
    by_url: bool,
    tracked: bool,
    drawn: int,
    attempts: int = 65_536,
) -> State:
    """The beginning of a run: nothing anywhere.

    Args:
        servers: the fleet.
        routers: how many.
        shared: whether they see each other's requests in flight.
        timeout_s: from dispatch to the end of the answer.
        by_url: whether the policy's key is a request's URL, instead of its client.
        tracked: whether to keep what references need.
        drawn: how many random numbers a pick takes.
        attempts: how many the log has room for at first; memory is used as it fills.
    """
    backends, classes = len(servers), len(servers[0].speed)
    world = empty_world(backends, classes, sum(server.slots for server in servers))
    rows = world.servers
    rows["slots"] = [server.slots for server in servers]
    rows["cores"] = [server.cores for server in servers]
    rows["growth"] = [server.growth for server in servers]
    rows["room"] = [server.room for server in servers]
    rows["round_trip_s"] = [server.round_trip_s for server in servers]
    rows["heap"] = np.cumsum([0, *(server.slots for server in servers[:-1])])
    rows["speed"] = rows["rate"] = rows["tail_factor"] = 1.0
    for field in ("first_waiting", "last_waiting", "first_back", "last_back"):
        rows[field] = NOBODY
    world.speed[:] = [server.speed for server in servers]

    clock = np.zeros(1, CLOCK)
    clock["timeout_s"], clock["shared"], clock["by_url"], clock["tracked"] = timeout_s, shared, by_url, tracked
    clock["first_due"] = clock["last_due"] = NOBODY
    leaves = 1 << (backends - 1).bit_length()
    winner = np.zeros(2 * leaves, np.int64)
    winner[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        winner[node] = winner[2 * node]
    state = State(
        clock=clock,
        world=world,
        jobs=np.zeros(0, JOB),
        free=np.zeros(0, np.int64),
        heap_job=np.zeros(len(world.heap_v), np.int64),
        next_s=np.full(leaves, np.inf),
        winner=winner,
        in_flight=np.zeros((1 if shared else routers, backends), np.int32),
        log=np.empty(attempts, LOG),
        draws=np.zeros(max(drawn, 1)),
        seen=np.zeros(1, VIEW),
        eligible=np.zeros(backends, np.int32),
        barred=np.zeros(backends),
    )
    return with_more_jobs(state)


def with_more_jobs(state: State) -> State:
    """Room for twice as many requests under way, and for 1,024 at least."""
    before = len(state.jobs)
    size = max(1024, 2 * before)
    jobs = np.zeros(size, JOB)
    jobs[:before] = state.jobs
    free = np.zeros(size, np.int64)
    clock = state.clock[0]
    free[: clock["free"]] = state.free[: clock["free"]]
    # The lowest slots on top: what is used stays together in memory.
    free[clock["free"] : clock["free"] + size - before] = np.arange(size - 1, before - 1, -1)
    clock["free"] += size - before
    return state._replace(jobs=jobs, free=free)


def with_more_log(state: State) -> State:
    """Room for half as many attempts more."""
    log = np.empty(len(state.log) * 3 // 2 + 1024, LOG)
    log[: len(state.log)] = state.log
    return state._replace(log=log)
