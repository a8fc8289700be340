"""Looks after processes by their signs of life: reports on them, and kills those that hang."""

from smartlb.admin.state import ProcessStatus
from smartlb.control.child import Child
from smartlb.control.generation import Generation
from smartlb.process.guard import Guard

_HUNG_AFTER_S = 5.0
"""A process that has shown no life for this long is killed and replaced."""

_STARTS_WITHIN_S = 60.0
"""How long a process may take to its first sign of life: on a busy machine, loading its libraries takes a while."""


def look_after_all(
    generation: Generation, workers: list[ProcessStatus], learner: ProcessStatus | None, now_s: float, guard: Guard
) -> None:
    """Look after the processes of a generation.

    Args:
        generation: whose they are.
        workers: takes the report on each.
        learner: likewise; None where there is none.
        now_s: monotonic time.
        guard: around each process.
    """
    segment = generation.segment
    for child, status, last_s in zip(generation.workers, workers, segment.heartbeat_s.tolist(), strict=True):
        with guard("looking after a worker"):
            look_after(child, status, last_s, _HUNG_AFTER_S, now_s)
    if generation.learner is not None and learner is not None:
        hung_after_s = _HUNG_AFTER_S + 10 * generation.config.learner.interval_s
        with guard("looking after the learner"):
            look_after(generation.learner, learner, segment.snapshot.published_s, hung_after_s, now_s)


def look_after(child: Child, status: ProcessStatus, last_s: float, hung_after_s: float, now_s: float) -> None:
    """Report on a process, and kill it when it hangs.

    Args:
        child: the process.
        status: takes the report.
        last_s: monotonic time of its last sign of life.
        hung_after_s: how long it may show none.
        now_s: monotonic time.
    """
    started = last_s >= child.since_s
    silent_s = now_s - max(last_s, child.since_s)
    hung = child.pid is not None and silent_s > (hung_after_s if started else _STARTS_WITHIN_S)
    if hung:
        child.give_up(silent_s)
    status.pid = child.pid
    status.alive = child.pid is not None and not hung and started
    status.restarts = child.restarts
