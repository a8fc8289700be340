"""What grows over time: ``python -m benchmarks.soak [--seconds N] [--json OUT]``, an hour by default.

A router of real processes is under a steady load of several request classes over connections that come and go, with
clients that leave, backends that reset their connections, and a reload now and then. docs/benchmarks.md says what the
figures are.
"""

import asyncio
import dataclasses
import random
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import uvloop

from benchmarks.rig import command
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.memory import Sample, sample, slope_per_hour
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.site import Site, site

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


def goals(done: Soaked) -> list[Goal]:
    """What should be left, and how memory should grow where the time is long enough to tell."""
    left = {"connections": done.connections, "requests": done.in_flight, "generations": done.draining}
    found = [at_most(f"{what} left when the load is gone", count, 0) for what, count in left.items()]
    long = done.seconds >= LEAST_S
    return found + [
        at_most(f"MB/h that {one.role} grows", one.slope_mb_per_hour if long else None, FLAT_MB_PER_HOUR)
        for one in done.held
    ]


def _soak(chosen: Namespace) -> int:
    every_s = min(_RELOAD_EVERY_S, chosen.seconds / 3)
    with site(chosen.seconds + 120) as on:
        done = uvloop.run(run(on, chosen.seconds, chosen.seed, chosen.rate, every_s))
    print("\n".join(table(done.held, done.seconds)))
    results = ", ".join(f"{count:,} {result}" for result, count in sorted(done.results.items()))
    print(f"\n{done.seconds:g} s with {done.reloads} reloads. Requests: {results}.")
    figures = dataclasses.asdict(done)
    command.publish(chosen.json, figures.pop("held"), goals(done), figures)
    return 1 if done.connections or done.in_flight or done.draining else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; the exit status is 1 where connections, requests or generations were left."""
    options = command.Options("soak", "What grows over time.")
    options.seconds(3_600, "of load", least=5, most=604_800)
    options.seed("of the load")
    options.rate(200)
    return command.run(partial(_soak, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
