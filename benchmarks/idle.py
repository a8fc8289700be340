"""What connections take that ask for nothing: ``python -m benchmarks.idle [--json OUT]``, a minute in all.

A router with its learner at work, and then 10,000 connections, each of which has asked for something once. Memory is
that of each process, with its part of the pages that it shares with others (PSS), so that it can be added up.
"""

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.rig import paced
from benchmarks.rig.abusers import BUILD_UP_S, IDLE, Tally, abused, allow_connections
from benchmarks.rig.command import Options, publish, run, say
from benchmarks.rig.goals import Goal, at_least, at_most
from benchmarks.rig.memory import Sample, growth, sample, watched
from benchmarks.rig.shapes import Shape
from benchmarks.rig.site import Site, site
from smartlb.cli.arguments import whole_number

WORKER_MB = 40.0
"""What a worker should have at most, when it has served some requests and has hardly any connections."""

ALL_MB = 200.0
"""What all processes of a router with two workers should have at most, with all the connections."""

PER_CLIENT = 2_500
"""`limits.connections_per_client`, a worker: the connections come from several addresses."""

_SERVED = Shape("normal", "/health")
_SERVED_S = 2.0
_LEAST_BUILD_UP_S = 1.0


def _rows(before: Sequence[Sample], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Memory by role, of all of its processes together and of the largest."""
    with_idle = growth(samples)
    rows = []
    for role, alone in growth(before).items():
        mine = [one for one in before if role in ("all", one.role)]
        rows.append(
            {
                "processes": role,
                "count": len(mine),
                "before_mb": round(alone.end_mb, 1),
                "largest_before_mb": round(max(one.memory_mb for one in mine), 1),
                "most_mb": round(with_idle[role].peak_mb, 1),
            }
        )
    return rows


def measure(on: Site, seconds: float, connections: int) -> tuple[list[dict[str, Any]], Tally]:
    """Look at a router without and with the connections, which stay for so long once they are there.

    Raises:
        BenchmarkError: they could not be made.
    """
    asyncio.run(on.learned())
    paced.drive(on.router.plain, _SERVED, 200.0, _SERVED_S, 8)
    before = sample(on.router.pid)
    builds_up_s = max(_LEAST_BUILD_UP_S, BUILD_UP_S["idle"] * connections / IDLE)
    with watched(on.router.pid) as samples, abused("idle", on.router.plain, builds_up_s + seconds, connections) as idle:
        time.sleep(builds_up_s)
        say("All connections should be there.")
        tally = idle.tally()
    return _rows(before, samples), tally


def goals(rows: Sequence[Mapping[str, Any]], held: int, connections: int, workers: int) -> list[Goal]:
    """What it should come to; that of all processes is for two workers and all the connections."""
    by_role = {row["processes"]: row for row in rows}
    found = [
        at_least("connections held", held, connections),
        at_most("a worker, MB (PSS)", by_role["worker"]["largest_before_mb"], WORKER_MB),
    ]
    if workers == 2 and connections == IDLE:
        found.append(
            at_most(
                f"two workers and all else with {IDLE:,} idle connections, MB (PSS)", by_role["all"]["most_mb"], ALL_MB
            )
        )
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows in Markdown."""
    lines = ["| processes | MB before | the largest | with the connections, at most |", "|---|---|---|---|"]
    return lines + [
        f"| {row['processes']} ({row['count']}) | {row['before_mb']} | {row['largest_before_mb']} | {row['most_mb']} |"
        for row in rows
    ]


def _idle(chosen: Namespace) -> int:
    allow_connections(chosen.connections)
    limits = {"connections_per_client": PER_CLIENT}
    with site(120 + chosen.seconds, backends=2, workers=chosen.workers, calm=True, limits=limits) as on:
        rows, tally = measure(on, chosen.seconds, chosen.connections)
    print("\n".join(table(rows)))
    found = goals(rows, tally.held, chosen.connections, chosen.workers)
    publish(chosen.json, rows, found, {"workers": chosen.workers, "held": tally.held})
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = Options("idle", __doc__)
    options.add_argument("--workers", type=whole_number(1), default=2, help="of the router (default: %(default)d)")
    options.add_argument(
        "--connections", type=whole_number(1), default=IDLE, help="that ask for nothing (default: %(default)d)"
    )
    options.seconds(10, "that the connections stay")
    return run(partial(_idle, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
