"""One proxy, one shape, once: start it, check it, warm it up, load it, see what that cost."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.peer import Peer, Site
from benchmarks.rig import instructions, paced, wrk
from benchmarks.rig.command import say
from benchmarks.rig.load import Load
from benchmarks.rig.processes import (
    BenchmarkError,
    Server,
    Usage,
    command_line,
    free_address,
    pin,
    process_tree,
    proportional_mb,
    resident_mb,
)
from benchmarks.rig.reachable import STARTS_S, await_listener, check_response
from benchmarks.rig.shapes import Shape

WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share.

    Attributes:
        backends: ``HOST:PORT`` of each.
        wrk: the program; None where only paced shapes are measured.
        connections: that the load generator keeps open.
        seconds: of load per measurement.
        proxy_core: for what carries traffic; None without pinning.
        load_core: for the load generator and everything else; None without pinning.
    """

    backends: Sequence[str]
    wrk: Path | None
    connections: int
    seconds: float
    proxy_core: int | None
    load_core: int | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one round of one proxy gave.

    Attributes:
        requests_per_s: answered.
        p50_ms: median latency.
        p99_ms: latency that one request in a hundred exceeded.
        cpu_us_per_request: user and system time of the processes that carry traffic.
        cpu_us_per_request_all: the same of all the proxy's processes.
        rss_mb: resident memory of the processes that carry traffic.
        pss_mb: the same, with their part of what they share with other processes.
        errors: answers other than 2xx, broken connections and requests without an answer.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float
    cpu_us_per_request_all: float
    rss_mb: float
    pss_mb: float
    errors: int


def _workers(peer: Peer, tree: dict[int, Usage], *, named: bool = True) -> set[int]:
    workers = {pid for pid in tree if peer.worker in command_line(pid)}
    if not workers and not named:
        # Under valgrind nginx cannot name its processes; the one that starts the worker does nothing afterwards.
        return set(tree)
    if not workers:
        raise BenchmarkError(f"has no process with {peer.worker!r} in its command line")
    return workers


def _apply_load(bench: Bench, shape: Shape, address: str, seconds: float, folder: Path) -> Load:
    if shape.rate_per_s is not None:
        return paced.run(address, shape, seconds, bench.connections, bench.load_core)
    if bench.wrk is None:
        raise BenchmarkError(f"the shape {shape.name} needs wrk; {wrk.INSTALL}")
    return wrk.run(bench.wrk, address, shape, seconds, bench.connections, bench.load_core, folder)


def cpu_between(before: dict[int, Usage], after: dict[int, Usage]) -> dict[int, float]:
    """Return the CPU seconds that each process used between two looks at the tree.

    Raises:
        BenchmarkError: a process has ended in between, and what it used is lost.
    """
    if gone := before.keys() - after.keys():
        raise BenchmarkError(f"{len(gone)} of its processes ended while it was measured")
    return {pid: usage.cpu_s - (before[pid].cpu_s if pid in before else 0.0) for pid, usage in after.items()}


@dataclass(frozen=True, slots=True)
class Contender:
    """A proxy that serves.

    Attributes:
        server: its first process.
        address: where it listens.
        folder: for files.
        workers: the processes that carry traffic.
    """

    server: Server
    address: str
    folder: Path
    workers: set[int]

    def worker_s(self, before: dict[int, Usage]) -> float:
        """CPU seconds that its workers used since a look at its processes."""
        used = cpu_between(before, process_tree(self.server.pid))
        return sum(used[pid] for pid in self.workers)


@contextmanager
def running(
    peer: Peer,
    program: Sequence[str],
    bench: Bench,
    check: Callable[[str], None] = lambda _: None,
    by: instructions.Counter | None = None,
) -> Iterator[Contender]:
    """Start a contender, and stop it in the end.

    Args:
        peer: what it is.
        program: where it is.
        bench: its backends and cores.
        check: of the address, before its workers are looked for.
        by: counts its instructions.

    Raises:
        BenchmarkError: it does not start, or has no worker.
    """
    with TemporaryDirectory(prefix=f"smartlb-bench-{peer.name}-") as name:
        folder = Path(name)
        site = Site(folder, free_address(), bench.backends)
        for file, content in peer.files(site).items():
            (folder / file).write_text(content)
        # Processes that do not carry traffic stay off the proxy's core: only the workers are moved there.
        first_core = bench.load_core if peer.worker else bench.proxy_core
        command = [*program, *peer.arguments(site)]
        starts_s = STARTS_S
        if by is not None:
            command, starts_s = by.wrapped(command), instructions.STARTS_S
        with Server(command, folder, first_core, peer.environ(site)) as server:
            address = await_listener(server, lambda: peer.address(site), starts_s)
            check(address)
            workers = _workers(peer, process_tree(server.pid), named=by is None)
            if bench.proxy_core is not None:
                for pid in workers:
                    pin(pid, bench.proxy_core)
            yield Contender(server, address, folder, workers)


def measure(peer: Peer, program: Sequence[str], shape: Shape, bench: Bench) -> Measurement:
    """Run `peer` for one measurement.

    Raises:
        BenchmarkError: it does not start, answers wrongly, or ends while it is measured.
    """
    with running(peer, program, bench, lambda address: check_response(address, shape)) as contender:
        server, address, folder = contender.server, contender.address, contender.folder
        _apply_load(bench, shape, address, WARM_UP_S, folder)
        before = process_tree(server.pid)
        load = _apply_load(bench, shape, address, bench.seconds, folder)
        after = process_tree(server.pid)
        if _workers(peer, after) != contender.workers:
            raise BenchmarkError("replaced a worker while it was measured")
        used = cpu_between(before, after)
        return Measurement(
            requests_per_s=load.requests / load.seconds,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            cpu_us_per_request=sum(used[pid] for pid in contender.workers) / load.requests * 1e6,
            cpu_us_per_request_all=sum(used.values()) / load.requests * 1e6,
            rss_mb=sum(resident_mb(pid) for pid in contender.workers),
            pss_mb=sum(proportional_mb(pid) for pid in contender.workers),
            errors=load.errors,
        )


def count_instructions(peer: Peer, program: Sequence[str], bench: Bench, load: Callable[[str], int]) -> float | None:
    """Instructions in user mode that a request takes of the processes that carry traffic, one start for all of it.

    Args:
        peer: what it is.
        program: where it is.
        bench: its backends and cores.
        load: sends a fixed number of requests to an address, and returns how many.

    Returns:
        None where nothing counts on this machine, or the proxy does not run under what does.
    """
    with instructions.counter() as by:
        if by is None:
            return None
        try:
            with running(peer, program, bench, by=by) as contender:
                return round(instructions.per_request(contender.workers, by, lambda: load(contender.address)))
        except BenchmarkError as error:
            say(f"{peer.name}: its instructions are not counted: {error}")
            return None


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """Return `names` beginning with another one in each round, so that none always runs first."""
    at = round_number % len(names)
    return [*names[at:], *names[:at]]
