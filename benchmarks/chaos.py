"""Whose requests are lost when things break: ``python -m benchmarks.chaos [--json OUT]``.

A router of real processes is under load in an open loop while its workers, its learner and its backends are killed,
stopped, reset, reloaded and drained, one thing at a time, in an order that a seed decides. docs/benchmarks.md says what
the figures are.
"""

import asyncio
import dataclasses
import os
import random
import signal
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from time import monotonic
from typing import Any

import uvloop

from benchmarks.rig import command
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.load import percentile
from benchmarks.rig.memory import Growth, Sample, growth, sample
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.site import Site, site
from benchmarks.rig.sockets import client_ports
from benchmarks.rig.traffic import GIVEN_UP, KINDS, OK, Request, StreamEnd, Traffic

QUIET_S = 4.0
"""Before the first event: what is normal is measured in it, after a second of warming up."""

_WARM_UP_S = 1.0
_BIN_S = 0.1
_SETTLED_BINS = 3
_LEAST_LIMIT_S = 0.05
_WATCH_S = 1.0
"""Least time after an event that is over, before the next."""

_SERVES_AGAIN_S = 15.0
_SAMPLE_S = 0.25


@dataclass(slots=True)
class Event:
    """One disturbance and what came of it.

    Attributes:
        name: what was done.
        begun_s: when; monotonic.
        until_s: when the next one begins.
        ports: clients' ports of the connections that a killed worker held.
        again_s: from its beginning until the process that was disturbed served again; None where none was, NaN where
            it did not in time.
    """

    name: str
    begun_s: float
    until_s: float = 0.0
    ports: set[int] = field(default_factory=set)
    again_s: float | None = None


Disturb = Callable[["Chaos", Event], Awaitable[None]]


class Chaos:
    """What disturbs a site.

    Args:
        on: the site.
        traffic: its load.
        rng: decides what is disturbed and when.
    """

    def __init__(self, on: Site, traffic: Traffic, rng: random.Random) -> None:
        self.site = on
        self.traffic = traffic
        self.rng = rng

    async def kill_worker(self, event: Event) -> None:
        """Kill a worker. It is stopped first, for as long as it takes to read which connections are its own."""
        workers = (await self.site.router.status())["workers"]
        pid = self.rng.choice([worker["pid"] for worker in workers if worker["alive"]])
        event.begun_s = monotonic()
        os.kill(pid, signal.SIGSTOP)
        event.ports = client_ports(pid)
        os.kill(pid, signal.SIGKILL)
        await self._serves_again(
            event, lambda status: all(one["alive"] and one["pid"] != pid for one in status["workers"])
        )

    async def kill_learner(self, event: Event) -> None:
        """Kill the learner; it serves again with its first snapshot in use by every worker."""
        learner = (await self.site.router.status())["learner"]
        before = learner["snapshot_version"]
        event.begun_s = monotonic()
        os.kill(learner["pid"], signal.SIGKILL)
        await self._serves_again(
            event,
            lambda status: (
                status["learner"]["alive"]
                and status["learner"]["pid"] != learner["pid"]
                and status["learner"]["snapshot_version"] != before
                and not any(worker["fallback"] for worker in status["workers"])
            ),
        )

    async def kill_backend(self, event: Event) -> None:
        """Kill a backend, and start it again after some time."""
        origin = self.rng.choice(self.site.origins)
        origin.stop(now=True)
        await asyncio.sleep(self.rng.uniform(0.2, 1.0))
        origin.start()
        await asyncio.to_thread(origin.await_ready)
        await self._eligible(event, origin.name)

    async def stop_backend(self, event: Event) -> None:
        """Let a backend hang for a while: it takes connections, and does nothing."""
        origin = self.rng.choice(self.site.origins)
        origin.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self.rng.uniform(0.3, 1.2))
        finally:
            origin.signal(signal.SIGCONT)
        await self._eligible(event, origin.name)

    async def reset_by_backend(self, event: Event) -> None:  # noqa: ARG002
        """Have a backend reset all its connections."""
        self.rng.choice(self.site.origins).signal(signal.SIGUSR1)

    async def reset_by_clients(self, event: Event) -> None:  # noqa: ARG002
        """Have clients leave in the middle of their requests."""
        for _ in range(20):
            self.traffic.reset_some(self.rng, 2)
            await asyncio.sleep(0.01)

    async def reload(self, event: Event) -> None:
        """Reload; it serves again when the generation before is gone."""
        before = (await self.site.router.status())["generation"]
        event.begun_s = monotonic()
        self.site.router.reload()
        await self._serves_again(
            event, lambda status: status["generation"] > before and not status["draining_generations"]
        )

    async def drain(self, event: Event) -> None:
        """Drain a backend through the admin API, and take it back."""
        origin = self.rng.choice(self.site.origins)
        for pool in ("web", "streams"):
            await self.site.router.post(f"/backends/{pool}/{origin.name}/drain")
        await asyncio.sleep(self.rng.uniform(0.2, 0.8))
        for pool in ("web", "streams"):
            await self.site.router.post(f"/backends/{pool}/{origin.name}/undrain")
        await self._eligible(event, origin.name)

    async def _eligible(self, event: Event, name: str) -> None:
        def eligible(status: dict[str, Any]) -> bool:
            backends = status["pools"]["web"]["backends"]
            return all(backend["eligible"] for backend in backends if backend["name"] == name)

        await self._serves_again(event, eligible)

    async def _serves_again(self, event: Event, holds: Callable[[dict[str, Any]], bool]) -> None:
        found = await self.site.router.status_when(holds, _SERVES_AGAIN_S)
        event.again_s = float("nan") if found is None else monotonic() - event.begun_s


EVENTS: dict[str, Disturb] = {
    "worker killed": Chaos.kill_worker,
    "learner killed": Chaos.kill_learner,
    "backend killed, started again": Chaos.kill_backend,
    "backend stopped, continued": Chaos.stop_backend,
    "connections reset by a backend": Chaos.reset_by_backend,
    "requests reset by clients": Chaos.reset_by_clients,
    "reload": Chaos.reload,
    "backend drained, taken back": Chaos.drain,
}
"""What is done, by what the report calls it."""


@dataclass(slots=True)
class Run:
    """What a run has seen.

    Attributes:
        began_s: when the traffic did; monotonic.
        events: in order.
        requests: all of them.
        ends: of long connections.
        samples: of the router's processes.
        late_s: by what the generator was late at worst.
        status: of the router at the end, when all load is over.
    """

    began_s: float
    events: list[Event]
    requests: list[Request]
    ends: list[StreamEnd]
    samples: list[Sample]
    late_s: float
    status: dict[str, Any]


async def run(on: Site, seconds: float, seed: int, rate_per_s: float, say: Callable[[str], None]) -> Run:
    """Load a site and disturb it for `seconds`.

    Every kind of event comes once, in a random order, before any comes again.

    Raises:
        BenchmarkError: the router has ended.
    """
    rng = random.Random(seed)
    traffic = on.traffic(rate_per_s, seed)
    chaos = Chaos(on, traffic, rng)
    loop = asyncio.get_running_loop()
    await on.learned()
    began_s = monotonic()
    load = loop.create_task(traffic.run())
    samples: list[Sample] = []
    watching = loop.create_task(_watch(on.router.pid, samples))
    events: list[Event] = []
    try:
        await asyncio.sleep(QUIET_S)
        left: list[str] = []
        while monotonic() < began_s + seconds:
            left = left or rng.sample(list(EVENTS), len(EVENTS))
            event = Event(left.pop(), monotonic())
            say(f"{event.begun_s - began_s:5.1f} s: {event.name}")
            events.append(event)
            try:
                await EVENTS[event.name](chaos, event)
            except OSError as error:
                raise BenchmarkError(
                    f"at “{event.name}” the router did not answer ({error}), after saying: {on.router.output}"
                ) from None
            await asyncio.sleep(_WATCH_S + rng.expovariate(2.0))
            event.until_s = monotonic()
        traffic.stop()
        await load
        await asyncio.sleep(_WATCH_S)
        status = await on.router.status()
    finally:
        for task in (load, watching):
            task.cancel()
        await asyncio.gather(load, watching, return_exceptions=True)
    return Run(began_s, events, traffic.requests, traffic.ends, samples, traffic.late_s, status)


async def _watch(root: int, samples: list[Sample]) -> None:
    while True:
        samples += await asyncio.to_thread(sample, root)
        await asyncio.sleep(_SAMPLE_S)


# What came of it


@dataclass(frozen=True, slots=True)
class Row:
    """All events of one kind; times in seconds, nothing where there is nothing to measure.

    Attributes:
        event: what was done.
        count: how often.
        requests: due from an event to the next.
        lost: requests lost that may be repeated, not counting `in_worker`.
        in_worker: those that a killed worker held.
        lost_post: other requests lost, `post_in_worker` not counted.
        post_in_worker: those that a killed worker held.
        streams: long connections that ended.
        given_up: requests whose own clients left.
        how: the causes of all losses, and how often.
        recovery_median_s: until errors and latency were as before.
        recovery_max_s: the longest of these.
        again_median_s: until what was disturbed served again.
        again_max_s: the longest of these.
    """

    event: str
    count: int
    requests: int
    lost: int
    in_worker: int
    lost_post: int
    post_in_worker: int
    streams: int
    given_up: int
    how: dict[str, int]
    recovery_median_s: float
    recovery_max_s: float
    again_median_s: float | None
    again_max_s: float | None


def normal_p99_s(run: Run) -> float:
    """The p99 of the quiet time before the first event."""
    until_s = run.events[0].begun_s if run.events else float("inf")
    quiet = [one for one in run.requests if run.began_s + _WARM_UP_S <= one.due_s < until_s and one.result == OK]
    if not quiet:
        raise BenchmarkError("no request was answered before the first event")
    return percentile(sorted(one.ended_s - one.due_s for one in quiet), 0.99)


def recovery_s(event: Event, requests: Sequence[Request], limit_s: float) -> float:
    """How long after the beginning of an event requests were lost or slow.

    Time is cut into tenths of a second by when requests were due. One is as before if it lost nothing and its slowest
    request took at most `limit_s`; it is over when three in a row are.
    """
    bins: dict[int, bool] = {}
    for one in requests:
        if event.begun_s <= one.due_s < event.until_s and one.result != GIVEN_UP:
            at = int((one.due_s - event.begun_s) / _BIN_S)
            bins[at] = bins.get(at, True) and not one.lost and one.ended_s - one.due_s <= limit_s
    good = 0
    for at in range(int((event.until_s - event.begun_s) / _BIN_S) + 1):
        good = good + 1 if bins.get(at, True) else 0
        if good == _SETTLED_BINS:
            return (at + 1 - _SETTLED_BINS) * _BIN_S
    return event.until_s - event.begun_s


def rows(run: Run) -> list[Row]:
    """One for each kind of event. A request belongs to the event under way when it ended, if it was lost."""
    limit_s = max(_LEAST_LIMIT_S, 2 * normal_p99_s(run))
    result = []
    for name in EVENTS:
        events = [event for event in run.events if event.name == name]
        if not events:
            continue
        lost = [(event, one) for event in events for one in run.requests if one.lost and _during(event, one.ended_s)]
        inside = [one for event, one in lost if one.port in event.ports]
        outside = [one for event, one in lost if one.port not in event.ports]
        recoveries = [recovery_s(event, run.requests, limit_s) for event in events]
        again = [event.again_s for event in events if event.again_s is not None]
        result.append(
            Row(
                event=name,
                count=len(events),
                requests=sum(any(_during(event, one.due_s) for event in events) for one in run.requests),
                lost=sum(one.kind.replayable for one in outside),
                in_worker=sum(one.kind.replayable for one in inside),
                lost_post=sum(not one.kind.replayable for one in outside),
                post_in_worker=sum(not one.kind.replayable for one in inside),
                streams=sum(any(_during(event, end.at_s) for event in events) for end in run.ends),
                given_up=sum(
                    one.result == GIVEN_UP and any(_during(event, one.ended_s) for event in events)
                    for one in run.requests
                ),
                how=dict(Counter(f"{one.kind.name}: {one.result}" for _, one in lost)),
                recovery_median_s=round(median(recoveries), 3),
                recovery_max_s=round(max(recoveries), 3),
                again_median_s=round(median(again), 3) if again else None,
                again_max_s=round(max(again), 3) if again else None,
            )
        )
    return result


def _during(event: Event, at_s: float) -> bool:
    return event.begun_s <= at_s < event.until_s


def unattributed(run: Run) -> int:
    """Requests lost while nothing had been done yet, or after everything."""
    return sum(one.lost and not any(_during(event, one.ended_s) for event in run.events) for one in run.requests)


def events_table(found: Sequence[Row]) -> list[str]:
    """The rows as a table of Markdown."""
    headings = ("event", "times", "lost", "lost in the killed worker", "POST lost", "long connections ended")
    lines = [f"| {' | '.join(headings)} | back to normal, s | serves again, s |", "|---|---|---|---|---|---|---|---|"]
    for row in found:
        again = "–" if row.again_median_s is None else _times(row.again_median_s, row.again_max_s)
        inside = f"{row.in_worker} + {row.post_in_worker} POST" if row.event == "worker killed" else "–"
        lines.append(
            f"| {row.event} | {row.count} | {row.lost} | {inside} | {row.lost_post} | {row.streams} |"
            f" {_times(row.recovery_median_s, row.recovery_max_s)} | {again} |"
        )
    return lines


def _times(middle: float, most: float | None) -> str:
    return f"{middle:.1f}" if most is None or most - middle < 0.05 else f"{middle:.1f}, at most {most:.1f}"


def memory_table(found: dict[str, Growth]) -> list[str]:
    """The processes' memory as a table of Markdown."""
    lines = ["| processes | memory at the start, MB | at the end | at most |", "|---|---|---|---|"]
    return lines + [
        f"| {role} | {one.start_mb:.0f} | {one.end_mb:.0f} | {one.peak_mb:.0f} |" for role, one in found.items()
    ]


def document(run: Run, seconds: float, seed: int, rate_per_s: float) -> dict[str, Any]:
    """All of it, for a JSON file."""
    latencies = sorted(one.ended_s - one.due_s for one in run.requests if one.result == OK)
    return {
        "seconds": seconds,
        "seed": seed,
        "rate": rate_per_s,
        "requests": {kind.name: sum(one.kind is kind for one in run.requests) for kind in KINDS},
        "lost": dict(Counter(one.kind.name for one in run.requests if one.lost)),
        "lost_outside_events": unattributed(run),
        "normal_p99_ms": round(normal_p99_s(run) * 1e3, 1),
        "p50_ms": round(percentile(latencies, 0.5) * 1e3, 1),
        "p99_ms": round(percentile(latencies, 0.99) * 1e3, 1),
        "generator_late_ms": round(run.late_s * 1e3, 1),
        "rows": [dataclasses.asdict(row) for row in rows(run)],
        "memory": {role: dataclasses.asdict(one) for role, one in growth(run.samples).items()},
        "connections_at_the_end": sum(worker["connections"] for worker in run.status["workers"]),
    }


def report(run: Run, figures: dict[str, Any]) -> list[str]:
    """What is printed: two tables of Markdown, and what one has to know to read them."""
    found = rows(run)
    latency = ", ".join(f"{name} {figures[f'{name}_ms']} ms" for name in ("p50", "p99"))
    normal, late = figures["normal_p99_ms"], figures["generator_late_ms"]
    connections = figures["connections_at_the_end"]
    return [
        *events_table(found),
        "",
        *memory_table(growth(run.samples)),
        "",
        f"{len(run.requests):,} requests at {figures['rate']:g}/s: {latency}; p99 before the first event {normal} ms.",
        f"The load generator was late by {late} ms at worst.",
        *(f"{row.event}: lost {what}, {times} times" for row in found for what, times in row.how.items()),
        f"Lost outside all events: {figures['lost_outside_events']}.",
        f"Connections that the router still had when all clients were gone: {connections}.",
    ]


def goals(figures: Mapping[str, Any]) -> list[Goal]:
    """What should be lost, and left."""
    lost = sum(event["lost"] for event in figures["rows"])
    outside, left = figures["lost_outside_events"], figures["connections_at_the_end"]
    return [
        at_most("requests lost that may be repeated, but for those in a killed worker", lost, 0),
        at_most("requests lost outside all events", outside, 0),
        at_most("connections left when the load is gone", left, 0),
    ]


def _disturb(chosen: Namespace) -> int:
    with site(chosen.seconds + 120) as on:
        done = uvloop.run(run(on, chosen.seconds, chosen.seed, chosen.rate, command.say))
    figures = document(done, chosen.seconds, chosen.seed, chosen.rate)
    print("\n".join(report(done, figures)))
    found = goals(figures)
    command.publish(chosen.json, figures.pop("rows"), found, figures)
    return 0 if all(goal.reached for goal in found[:2]) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; the exit status is 1 where a replayable request was lost outside a killed worker."""
    options = command.Options("chaos", "Requests lost when things break.")
    options.seconds(90, "of load", least=10)
    options.seed("of load and events")
    options.rate(250)
    return command.run(partial(_disturb, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
