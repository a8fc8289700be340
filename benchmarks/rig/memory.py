"""What the router's processes hold: memory, open files, and how both change."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig.processes import BenchmarkError, command_line, process_tree, proportional_mb

ROLES = {
    "smartlb.worker.process": "worker",
    "smartlb.control.learner_process": "learner",
    "nginx: worker process": "worker",
}
"""What a process is, by what its command line has in it; the rest is the supervisor."""

_WATCH_S = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    Attributes:
        at_s: of the monotonic clock.
        role: supervisor, worker or learner.
        pid: of the process.
        memory_mb: resident; of pages that it shares with other processes, its part (PSS).
        files: open file descriptors.
    """

    at_s: float
    role: str
    pid: int
    memory_mb: float
    files: int


def sample(root: int) -> list[Sample]:
    """Look at `root`, a supervisor, and its descendants; those that end meanwhile are left out."""
    found = []
    now_s = time.monotonic()
    for pid in process_tree(root):
        line = command_line(pid)
        role = next((role for part, role in ROLES.items() if part in line), "supervisor" if pid == root else "")
        try:
            if role:
                files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                found.append(Sample(now_s, role, pid, proportional_mb(pid), files))
        except (BenchmarkError, OSError):
            continue
    return found


@contextmanager
def watched(root: int) -> Iterator[list[Sample]]:
    """Look at `root` and its descendants, often, for as long as the block runs."""
    found = sample(root)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_S):
            found.extend(sample(root))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        watching.join()


@dataclass(frozen=True, slots=True)
class Growth:
    """How a role's memory went, in MB; with several processes of a role, that of all together.

    Attributes:
        start_mb: at the first look.
        end_mb: at the last.
        peak_mb: the most at any.
        files_start: open file descriptors at the first look.
        files_end: at the last.
    """

    start_mb: float
    end_mb: float
    peak_mb: float
    files_start: int
    files_end: int


def growth(samples: Sequence[Sample]) -> dict[str, Growth]:
    """Sum up by role, and all roles as ``all``.

    During a reload two generations are there, which is what the peak is about.
    """
    moments = sorted({one.at_s for one in samples})
    result = {}
    for role in [*dict.fromkeys(one.role for one in samples), "all"]:
        mine = [one for one in samples if role in ("all", one.role)]
        sums = {at_s: [one for one in mine if one.at_s == at_s] for at_s in moments}
        memory = [sum(one.memory_mb for one in sums[at_s]) for at_s in moments]
        files = [sum(one.files for one in sums[at_s]) for at_s in moments]
        result[role] = Growth(memory[0], memory[-1], max(memory), files[0], files[-1])
    return result


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of `points`, of seconds and values, per hour; 0 for fewer than two moments."""
    if len({at_s for at_s, _ in points}) < 2:
        return 0.0
    mean_s = sum(at_s for at_s, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    over = sum((at_s - mean_s) * (value - mean) for at_s, value in points)
    return 3_600 * over / sum((at_s - mean_s) ** 2 for at_s, _ in points)
