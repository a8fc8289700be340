"""A backend's requests in service, in the order in which they will end: a binary heap within two flat arrays."""

from simulator.kernel.compiling import compiled
from simulator.kernel.state import Array


@compiled
def push(times: Array, jobs: Array, base: int, size: int, time: float, job: int) -> None:
    """Add to the heap of `size` entries that begins at `base`."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if times[base + parent] <= time:
            break
        times[base + at] = times[base + parent]
        jobs[base + at] = jobs[base + parent]
        at = parent
    times[base + at] = time
    jobs[base + at] = job


@compiled
def pop(times: Array, jobs: Array, base: int, size: int) -> int:
    """Take the job that ends first from the heap of `size` entries."""
    first = jobs[base]
    last = size - 1
    time, job = times[base + last], jobs[base + last]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            break
        if child + 1 < last and times[base + child + 1] < times[base + child]:
            child += 1
        if times[base + child] >= time:
            break
        times[base + at] = times[base + child]
        jobs[base + at] = jobs[base + child]
        at = child
    times[base + at] = time
    jobs[base + at] = job
    return int(first)
