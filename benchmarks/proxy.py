"""smartlb beside nginx, HAProxy, Envoy, Traefik and Caddy: one worker each, the same load, interleaved.

Run as ``python -m benchmarks.proxy``; docs/benchmarks.md says what is measured and how.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.peers import PEERS
from benchmarks.rig import wrk
from benchmarks.rig.backends import backends, kind
from benchmarks.rig.measuring import Bench, Measurement, measure, rotated
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.report import Result, table
from benchmarks.rig.shapes import SHAPES, Shape

Programs = dict[str, list[str]]

_WIDTH_WITHOUT_TERMINAL = 120


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=5, help="of every proxy (default: 5)")
    parser.add_argument("--seconds", type=_count, default=4, help="of load per proxy and round (default: 4)")
    parser.add_argument("--connections", type=_count, default=64, help="of the load generator (default: 64)")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="small", help="of requests (default: small)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def _installed(names: Sequence[str], console: Console) -> Programs:
    programs: Programs = {}
    for name in names:
        program = PEERS[name].find()
        if program is None:
            console.print(f"{name} is not installed and left out: {PEERS[name].install}", markup=False)
        else:
            programs[name] = program
    return programs


def _cores(console: Console) -> tuple[int, int] | tuple[None, None]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        console.print("Nothing is pinned: there is one core, so load and backends compete with the proxy.")
        return None, None
    console.print(f"Proxies run on core {cores[0]}, load generator and backends on core {cores[1]}.")
    return cores[0], cores[1]


def _measure_shape(
    shape: Shape, programs: Programs, rounds: int, bench: Bench, console: Console
) -> tuple[list[Result], bool]:
    """Return the results of the proxies that could be measured, and whether all could."""
    measured: dict[str, list[Measurement]] = {name: [] for name in programs}
    left = list(programs)
    for number in range(rounds):
        for name in rotated(list(programs), number):
            if name not in left:
                continue
            console.print(f"[dim]{shape.name}, round {number + 1} of {rounds}: {name}[/dim]", highlight=False)
            try:
                measured[name].append(measure(PEERS[name], programs[name], shape, bench))
            except BenchmarkError as error:
                left.remove(name)
                console.print(f"{name}, shape {shape.name}: {error}", style="red", markup=False)
    results = [Result(name, PEERS[name].version(programs[name]), shape.name, measured[name]) for name in left]
    return results, len(left) == len(programs)


def _end(_signal: int, _frame: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy that is installed could not be measured."""
    chosen = _parse(arguments)
    console = Console(stderr=True)
    if sys.platform != "linux":
        console.print("The benchmark reads /proc and pins processes to cores; it runs on Linux only.")
        return 2
    signal.signal(signal.SIGTERM, _end)
    shapes = list(SHAPES.values()) if chosen.shape == "all" else [SHAPES[chosen.shape]]
    load_generator = wrk.find()
    if load_generator is None and any(shape.rate_per_s is None for shape in shapes):
        console.print(f"wrk is not installed and only the shape paced can do without: {wrk.INSTALL}")
        return 2
    programs = _installed(chosen.only or list(PEERS), console)
    if not programs:
        return 2
    proxy_core, load_core = _cores(console)
    console.print(f"Backends: {kind()}.")
    shown = Console() if sys.stdout.isatty() else Console(width=_WIDTH_WITHOUT_TERMINAL)
    report = []
    complete = True
    try:
        with backends(load_core) as addresses:
            bench = Bench(addresses, load_generator, chosen.connections, chosen.seconds, proxy_core, load_core)
            for shape in shapes:
                results, all_measured = _measure_shape(shape, programs, chosen.rounds, bench, console)
                complete &= all_measured
                rows = [result.as_json() for result in results]
                report += rows
                if rows:
                    shown.print(table(rows))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BenchmarkError as error:
        console.print(f"The backends do not work: {error}", style="red", markup=False)
        return 2
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
