"""What grows over time: ``python -m benchmarks.soak [--seconds N] [--json OUT]``, an hour by default.

A router of real processes is under a steady load of several request classes over connections that come and go, with
clients that leave, backends that reset their connections, and a reload now and then. docs/benchmarks.md says what the
figures are.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import random
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop

from benchmarks.rig.memory import Sample, sample, slope_per_hour
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.site import Site, site
from smartlb import __version__
from smartlb.cli.arguments import number, whole_number

FLAT_MB_PER_HOUR = 5.0
"""What counts as flat."""

LEAST_S = 1_800.0
"""Below this a slope says nothing: caches still fill, and the heap wanders."""

_SAMPLES = 400
_LEAST_PAUSE_S = 0.25
_RELOAD_EVERY_S = 300.0
_TROUBLE_EVERY_S = 5.0
_SETTLE_S = 1.5

_LAST_RELOAD_S = 30.0
"""How long a reload that was asked for last may go on when the load is gone."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a role's processes held, all together.

    Attributes:
        role: supervisor, worker or learner.
        processes: how many at the end.
        start_mb: memory at the first look (PSS).
        end_mb: at the last.
        slope_mb_per_hour: of a line through the second half of the time; what caches fill with comes before.
        files_start: open files before the load.
        files_end: after it.
    """

    role: str
    processes: int
    start_mb: float
    end_mb: float
    slope_mb_per_hour: float
    files_start: int
    files_end: int

    @property
    def flat(self) -> bool:
        """Whether memory stays where it is."""
        return self.slope_mb_per_hour <= FLAT_MB_PER_HOUR


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a run came to.

    Attributes:
        seconds: of load.
        reloads: made.
        results: how many requests had which end.
        held: of each role.
        connections: that the router still had when all clients were gone.
        in_flight: requests that it still counted then.
        draining: generations that were still there then.
    """

    seconds: float
    reloads: int
    results: dict[str, int]
    held: list[Held]
    connections: int
    in_flight: int
    draining: int


async def run(on: Site, seconds: float, seed: int, rate_per_s: float, reload_every_s: float) -> Soaked:
    """Load a site for `seconds`, and see what is left when the load is gone.

    Raises:
        BenchmarkError: the router does not answer any more.
    """
    await on.learned()
    rng = random.Random(seed)
    traffic = on.traffic(rate_per_s, seed)
    traffic.keep_requests = False
    loop = asyncio.get_running_loop()
    before = await asyncio.to_thread(sample, on.router.pid)
    samples: list[Sample] = []
    began_s = monotonic()
    next_reload_s, next_trouble_s, reloads = began_s + reload_every_s, began_s + _TROUBLE_EVERY_S, 0
    load = loop.create_task(traffic.run())
    try:
        while monotonic() < began_s + seconds:
            await asyncio.sleep(max(_LEAST_PAUSE_S, seconds / _SAMPLES))
            now_s = monotonic()
            # While a generation drains there are twice as many processes, which is no growth.
            if not (await on.router.status())["draining_generations"]:
                samples += await asyncio.to_thread(sample, on.router.pid)
            if now_s >= next_trouble_s:
                next_trouble_s = now_s + _TROUBLE_EVERY_S
                traffic.reset_some(rng, 2)
                rng.choice(on.origins).signal(signal.SIGUSR1)
            if now_s >= next_reload_s:
                next_reload_s, reloads = now_s + reload_every_s, reloads + 1
                on.router.reload()
        traffic.stop()
        await load
        status = await on.router.status_when(_at_rest, 30.0) or await on.router.status()
        await asyncio.sleep(_SETTLE_S)
        after = await asyncio.to_thread(sample, on.router.pid)
        give_up_s = monotonic() + _LAST_RELOAD_S
        while len(after) > len(before) and monotonic() < give_up_s:
            await asyncio.sleep(_LEAST_PAUSE_S)
            after = await asyncio.to_thread(sample, on.router.pid)
    except OSError as error:
        raise BenchmarkError(f"the router did not answer ({error}), after saying: {on.router.output}") from None
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    return Soaked(
        seconds=seconds,
        reloads=reloads,
        results=traffic.counts,
        held=held(before, samples, after),
        connections=_connections(status),
        in_flight=_in_flight(status),
        draining=status["draining_generations"],
    )


def _connections(status: dict[str, Any]) -> int:
    return sum(worker["connections"] for worker in status["workers"])


def _in_flight(status: dict[str, Any]) -> int:
    return sum(backend["in_flight"] for pool in status["pools"].values() for backend in pool["backends"])


def _at_rest(status: dict[str, Any]) -> bool:
    return not (_connections(status) or _in_flight(status) or status["draining_generations"])


def held(before: Sequence[Sample], samples: Sequence[Sample], after: Sequence[Sample]) -> list[Held]:
    """Sum up by role: processes of a role together, as reloads replace them."""
    result = []
    for role in dict.fromkeys(one.role for one in before):
        sums: dict[float, float] = {}
        for one in samples:
            if one.role == role:
                sums[one.at_s] = sums.get(one.at_s, 0.0) + one.memory_mb
        points = sorted(sums.items())
        result.append(
            Held(
                role=role,
                processes=sum(one.role == role for one in after),
                start_mb=round(sum(one.memory_mb for one in before if one.role == role), 1),
                end_mb=round(sum(one.memory_mb for one in after if one.role == role), 1),
                slope_mb_per_hour=round(slope_per_hour(points[len(points) // 2 :]), 1),
                files_start=sum(one.files for one in before if one.role == role),
                files_end=sum(one.files for one in after if one.role == role),
            )
        )
    return result


def table(found: Sequence[Held], seconds: float) -> list[str]:
    """What was held, as a table of Markdown; whether it is flat only where `seconds` are enough to tell."""
    lines = [
        "| processes | memory before, MB | after | MB/h | | open files before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        verdict = "too short to tell" if seconds < LEAST_S else "flat" if one.flat else "grows"
        lines.append(
            f"| {one.role} ({one.processes}) | {one.start_mb} | {one.end_mb} | {one.slope_mb_per_hour:+.1f} |"
            f" {verdict} | {one.files_start} | {one.files_end} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; the exit status is 1 where connections, requests or generations were left."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="What grows over time.")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    parser.add_argument("--seconds", type=number(5, 604_800), default=3_600.0, help="of load (default: %(default)g)")
    parser.add_argument("--seed", type=whole_number(), default=1, help="of the load (default: %(default)d)")
    parser.add_argument("--rate", type=number(10, 10_000), default=200.0, help="requests/s (default: %(default)g)")
    chosen = parser.parse_args(arguments)
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    if sys.platform != "linux":
        say("The benchmark finds processes and their memory through /proc; it runs on Linux only.")
        return 2
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    every_s = min(_RELOAD_EVERY_S, chosen.seconds / 3)
    try:
        with site(chosen.seconds + 120) as on:
            done = uvloop.run(run(on, chosen.seconds, chosen.seed, chosen.rate, every_s))
    except BenchmarkError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print("\n".join(table(done.held, done.seconds)))
    results = ", ".join(f"{count:,} {result}" for result, count in sorted(done.results.items()))
    print(f"\n{done.seconds:g} s with {done.reloads} reloads. Requests: {results}.")
    print(f"Left: {done.connections} connections, {done.in_flight} requests, {done.draining} generations.")
    if chosen.json:
        about = {"version": __version__, "platform": platform.platform(), "python": platform.python_version()}
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        figures = {**dataclasses.asdict(done), **about, "cores": os.cpu_count()}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if done.connections or done.in_flight or done.draining else 0


if __name__ == "__main__":
    sys.exit(main())
