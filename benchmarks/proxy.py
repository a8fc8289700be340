"""smartlb beside nginx, HAProxy, Envoy, Traefik and Caddy: one worker each, the same load, interleaved.

Run as ``python -m benchmarks.proxy``; docs/benchmarks.md says what is measured and how.
"""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.rig import command, contest
from benchmarks.rig.goals import Goal, at_least, at_most
from benchmarks.rig.report import OWN, compared, table
from benchmarks.rig.shapes import SHAPES

WORKER_MB = 40.0
"""What a worker under load should have at most (PSS)."""

Row = Mapping[str, Any]


def _goals_of_small(rows: Sequence[Row], shape: str) -> list[Goal]:
    found = []
    for other in ("nginx", "haproxy"):
        found.append(at_least(f"requests/s of {other}'s, {shape}", compared(rows, "requests_per_s", other), 1.0))
        cpu = compared(rows, "cpu_us_per_request", other)
        found.append(at_most(f"CPU per request of {other}'s, {shape}", cpu, 1.0))
    found.append(at_least(f"requests/s of envoy's, {shape}", compared(rows, "requests_per_s", "envoy"), 2.5))
    return found


def _goals_of_large(rows: Sequence[Row], shape: str) -> list[Goal]:
    others = [row["name"] for row in rows if row["name"] != OWN]
    shares = [share for other in others if (share := compared(rows, "requests_per_s", other)) is not None]
    return [at_least(f"requests/s of the best other's, {shape}", min(shares, default=None), 1.0)]


def _p99(rows: Sequence[Row], shape: str) -> list[Goal]:
    return [at_most(f"p99 of nginx's, {shape}", compared(rows, "p99_ms", "nginx"), 1.0)]


_GOALS = {
    **dict.fromkeys(("small", "headers", "post", "body10k"), (_goals_of_small, _p99)),
    "body100k": (_goals_of_large, _p99),
    "paced": (_p99,),
}


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What the shapes that were measured should come to."""
    found = []
    for shape in dict.fromkeys(row["shape"] for row in rows):
        of_shape = [row for row in rows if row["shape"] == shape]
        found += [goal for each in _GOALS[shape] for goal in each(of_shape, shape)]
    worker = [row["pss_mb"]["max"] for row in rows if row["name"] == OWN]
    return [*found, at_most("a worker under load, MB (PSS)", max(worker, default=None), WORKER_MB)]


def _compare(chosen: Namespace) -> int:
    shapes = list(SHAPES.values()) if chosen.shape == "all" else [SHAPES[chosen.shape]]
    programs = contest.installed(PEERS, chosen.only or list(PEERS))
    shown = command.results()
    report: list[dict[str, Any]] = []
    complete = True
    with contest.bench(chosen.connections, chosen.seconds, shapes) as bench:
        for shape in shapes:
            results = contest.compare(PEERS, programs, shape, chosen.rounds, bench, count=not chosen.no_instructions)
            complete &= len(results) == len(programs)
            rows = [result.as_json() for result in results]
            report += rows
            if rows:
                shown.print(table(rows))
    command.publish(chosen.json, report, goals(report))
    return 0 if complete else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy that is installed could not be measured."""
    options = contest.options("proxy", __doc__, connections=64)
    options.add_argument("--only", nargs="+", choices=list(PEERS), metavar="NAME", help=", ".join(PEERS))
    options.add_argument("--shape", choices=[*SHAPES, "all"], default="small", help="of requests (default: small)")
    return command.run(partial(_compare, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
