"""Proxies side by side: who takes part, on which cores, and whose turn it is."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from benchmarks.peers.peer import Peer
from benchmarks.rig import lockstep, wrk
from benchmarks.rig.backends import backends, kind
from benchmarks.rig.command import Options, say
from benchmarks.rig.measuring import Bench, count_instructions, measure, rotated
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.report import Result
from benchmarks.rig.shapes import Shape
from smartlb.cli.arguments import whole_number

Programs = dict[str, list[str]]
Round = TypeVar("Round")

_MOST_S = 200.0
"""smartlb ends by itself 300 s after its start."""


def options(module: str, description: str | None, connections: int) -> Options:
    """The command line of a contest; `connections` is the default."""
    found = Options(module, description)
    found.rounds(5, "of every proxy")
    found.seconds(4, "of load per proxy and round", most=_MOST_S)
    found.add_argument(
        "--connections",
        type=whole_number(1),
        default=connections,
        help="of the load generator (default: %(default)d)",
    )
    found.add_argument("--no-instructions", action="store_true", help="do not count them, which takes a while")
    return found


def installed(peers: Mapping[str, Peer], names: Iterable[str]) -> Programs:
    """The programs of those that are installed; says how to install the others.

    Raises:
        BenchmarkError: none is.
    """
    programs: Programs = {}
    for name in names:
        program = peers[name].find()
        if program is None:
            say(f"{name} is not installed and left out: {peers[name].install}")
        else:
            programs[name] = program
    if not programs:
        raise BenchmarkError("no proxy is installed")
    return programs


def cores() -> tuple[int, int] | tuple[None, None]:
    """The core for what carries traffic, and that for all else; says which, or that there is only one."""
    there = sorted(os.sched_getaffinity(0))
    if len(there) < 2:
        say("Nothing is pinned: there is one core, so load and backends compete with the proxy.")
        return None, None
    say(f"Proxies run on core {there[0]}, load generator and backends on core {there[1]}.")
    return there[0], there[1]


@contextmanager
def bench(connections: int, seconds: float, shapes: Sequence[Shape]) -> Iterator[Bench]:
    """Backends, cores and load generator for some shapes; none for a load generator of another kind.

    Raises:
        BenchmarkError: a backend does not start, or wrk is needed and not installed.
    """
    load_generator = wrk.find()
    if load_generator is None and any(shape.rate_per_s is None for shape in shapes):
        raise BenchmarkError(f"wrk is not installed and only the shape paced can do without: {wrk.INSTALL}")
    proxy_core, load_core = cores()
    say(f"Backends: {kind()}.")
    with backends(load_core) as addresses:
        yield Bench(addresses, load_generator, connections, seconds, proxy_core, load_core)


def compare(
    peers: Mapping[str, Peer], programs: Programs, shape: Shape, rounds: int, on: Bench, *, count: bool
) -> list[Result]:
    """Measure a shape.

    Args:
        peers: by name.
        programs: of those who take part.
        shape: of requests.
        rounds: of each.
        on: where.
        count: whether instructions are counted too.

    Returns:
        The results of those who went through.
    """
    found = interleaved(programs, rounds, lambda name: measure(peers[name], programs[name], shape, on), shape.name)
    counted: dict[str, float | None] = {}
    for name in found if count and shape.rate_per_s is None else ():
        say(f"{shape.name}, instructions: {name}")
        counted[name] = count_instructions(peers[name], programs[name], on, lambda at: lockstep.drive(at, shape))
    return [
        Result(name, peers[name].version(programs[name]), shape.name, each, counted.get(name))
        for name, each in found.items()
    ]


def interleaved(names: Iterable[str], rounds: int, once: Callable[[str], Round], what: str) -> dict[str, list[Round]]:
    """Measure all once, then all once more beginning with the next; who fails is left out from there on.

    Args:
        names: of those who take part.
        rounds: how many.
        once: measures one.
        what: is measured, for what is said.

    Returns:
        The rounds of those who went through.
    """
    left: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(rounds):
        for name in rotated(list(left), number) if left else ():
            say(f"{what}, round {number + 1} of {rounds}: {name}")
            try:
                left[name].append(once(name))
            except BenchmarkError as error:
                del left[name]
                say(f"{name}, {what}: {error}; left out")
    return left
