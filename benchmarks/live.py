"""Every policy on real processes: ``python -m benchmarks.live [--json OUT]``.

The demo's fleet of unequal servers, with its slow-down and its fast failure, is behind smartlb under each policy, and
behind HAProxy and nginx where they are installed. All get the same requests in an open loop, in interleaved rounds.
docs/benchmarks.md says what the figures are and what they do not say.
"""

import asyncio
import dataclasses
import signal
import sys
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers import PEERS
from benchmarks.peers.peer import Peer, Site
from benchmarks.rig.command import Options, publish, results
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.measuring import rotated
from benchmarks.rig.processes import BenchmarkError, Server, free_address
from benchmarks.rig.reachable import await_listener
from simulator.demo import scenario, workload
from simulator.demo.fleet import FLEET
from simulator.demo.fleet import Server as Backend
from simulator.demo.load import Array
from simulator.demo.processes import DemoError
from simulator.demo.run import PolicyRun
from simulator.demo.settings import Settings
from simulator.demo.summary import Summary, summarise
from simulator.demo.view import Scene
from smartlb import __version__ as smartlb_version
from smartlb.cli.arguments import several
from smartlb.policies.registry import POLICIES

OWN = "learned"
WEIGHTED = ("smooth_weighted_round_robin", "random", "weighted_least_connections")
"""Policies that are told what each server can carry, as they are nothing without it."""

HASHING = ("ip_hash", "url_hash")
FEW_ROUNDS = 3
_RUN_COSTS_S = 2.5
"""What a run takes beside its requests: some twelve processes start and end."""

Rounds = Mapping[str, Sequence[Summary]]
Spread = dict[str, float] | None
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """How another proxy takes part.

    Attributes:
        peer: of `benchmarks.peers`.
        policy: what it calls its policy, for the table.
        retry_500: as in `Site`.
    """

    peer: Peer
    policy: str
    retry_500: bool = False


ENTRIES: Mapping[str, PeerEntry] = {
    "haproxy": PeerEntry(PEERS["haproxy"], "leastconn"),
    "nginx": PeerEntry(PEERS["nginx"], "least_conn"),
    "nginx_retry": PeerEntry(PEERS["nginx"], "least_conn, a 500 is asked again", retry_500=True),
}
"""Other proxies by the name that `--policies` has for them."""


@dataclass(frozen=True, slots=True)
class Contender:
    """What takes part.

    Attributes:
        name: a policy's, or of `ENTRIES`.
        label: for the table.
        version: of the program.
        run: gives what became of the requests.
    """

    name: str
    label: str
    version: str
    run: Callable[[PolicyRun, Array], Awaitable[Array]]


def names() -> list[str]:
    """All that can take part: learned, the other policies, other proxies."""
    return [OWN, *(name for name in POLICIES if name != OWN), *ENTRIES]


def contenders(chosen: Sequence[str], say: Say) -> list[Contender]:
    """Those of the chosen that are there; `say` gets a note of each that is not."""
    found = []
    for name in chosen:
        if name not in ENTRIES:
            weighted = name in WEIGHTED
            label = f"{name}, told the capacities" if weighted else name
            found.append(Contender(name, label, smartlb_version, partial(_under, name, weighted)))
            continue
        entry = ENTRIES[name]
        program = entry.peer.find()
        if program is None:
            say(f"{name} is left out, as it is not installed: {entry.peer.install}")
            continue
        version = entry.peer.version(program)
        label = f"{entry.peer.name} {version} {entry.policy}"
        found.append(Contender(name, label, version, partial(_behind, name, entry, program)))
    return found


async def _under(policy: str, weighted: bool, run: PolicyRun, arrivals: Array) -> Array:
    return await run.under(policy, arrivals, weighted)


async def _behind(name: str, entry: PeerEntry, program: Sequence[str], run: PolicyRun, arrivals: Array) -> Array:
    return await run.behind(name, partial(proxy, entry, program), arrivals)


@asynccontextmanager
async def proxy(
    entry: PeerEntry, program: Sequence[str], servers: Mapping[str, Backend], log: IO[bytes], longest_s: float
) -> AsyncIterator[str]:
    """Run another proxy in front of the fleet; a `simulator.demo.run.Start` once entry and program are given.

    Raises:
        BenchmarkError: it does not start, or ends before it is told to.
    """
    with tempfile.TemporaryDirectory(prefix=f"smartlb-live-{entry.peer.name}-") as folder:
        site = peer_site(entry, Path(folder), free_address(), servers)
        for file, content in entry.peer.files(site).items():
            Path(folder, file).write_text(content)
            log.write(f"# {file}\n{content}\n".encode())
        # `timeout` ends the proxy even where nothing is left that would.
        command = ["timeout", "--kill-after=5", f"{longest_s:g}", *program, *entry.peer.arguments(site)]
        with Server(command, site.folder, None, entry.peer.environ(site)) as server:
            yield await asyncio.to_thread(await_listener, server, partial(entry.peer.address, site))
            if not server.running:
                raise BenchmarkError(f"ended during the run, after saying: {server.last_words or 'nothing'}")
        log.write(server.last_words.encode())


def peer_site(entry: PeerEntry, folder: Path, address: str, servers: Mapping[str, Backend]) -> Site:
    """Where another proxy runs: the fleet's addresses, and the health check that smartlb has as well."""
    backends = [server.address for server in servers.values()]
    return Site(folder, address, backends, health_path="/health", retry_500=entry.retry_500)


async def measure(
    taking_part: Sequence[Contender], settings: Settings, rounds: int, say: Say
) -> dict[str, list[Summary]]:
    """Run everyone in interleaved rounds, each with a seed of its own; who fails is left out from there on.

    Returns:
        By name, a summary for each round; nobody who has failed is in it.
    """
    found: dict[str, list[Summary]] = {one.name: [] for one in taking_part}
    by_name = {one.name: one for one in taking_part}
    for at in range(rounds):
        chosen = replace(settings, seed=settings.seed + at, output=settings.output / f"round-{at + 1}")
        chosen.output.mkdir(parents=True, exist_ok=True)
        load = workload.generated(chosen.total_s, chosen.rate, chosen.seed)
        arrivals = load.arrivals(FLEET, chosen.load, chosen.total_s)
        faults = scenario.faults(chosen.seconds)
        for turn, name in enumerate(rotated(list(by_name), at), 1):
            if name not in found:
                continue
            head = f"round {at + 1} of {rounds}, {turn} of {len(by_name)}: {by_name[name].label}"
            say(f"{head} ...")
            scene = Scene(fleet=FLEET, classes=load.classes, source=load.source, policies=list(by_name))
            try:
                with tempfile.TemporaryDirectory(prefix="smartlb-live-") as folder:
                    results = await by_name[name].run(PolicyRun(chosen, load, scene, Path(folder)), arrivals)
                if name == OWN:
                    check_learned(scene.pool)
            except (BenchmarkError, DemoError) as error:
                del found[name]
                say(f"{head}: {error}; left out from here on, logs: {chosen.output}/{name}.log")
                continue
            found[name].append(summarise(name, results, faults))
            say(f"{head}: {_brief(found[name][-1])}")
    return found


def check_learned(pool: Mapping[str, Any] | None) -> None:
    """Refuse a run whose router had no learned weights at its end: another policy had taken over.

    Raises:
        DemoError: `pool`, the router's status of the fleet, has no weights.
    """
    if pool is None or not all(backend["weight"] for backend in pool["backends"]):
        raise DemoError("had no learned weights at the end of the run; its learner did not work")


def _brief(one: Summary) -> str:
    shown = (("mean", one.mean_ms), ("p50", one.p50_ms), ("p99", one.p99_ms))
    return ", ".join([*(f"{what} {_ms(value)}" for what, value in shown), f"{one.failed:.2%} failed"])


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def spread(values: Sequence[float | None]) -> Spread:
    """Least, median and greatest; None where a round has nothing to measure."""
    there = [value for value in values if value is not None]
    if not there or len(there) < len(values):
        return None
    return {"min": round(min(there), 3), "median": round(median(there), 3), "max": round(max(there), 3)}


def rows(taking_part: Sequence[Contender], found: Rounds) -> list[dict[str, Any]]:
    """One object for each of those who went through, the lowest p99 first; latencies in milliseconds."""
    result = []
    for one in taking_part:
        if not (summaries := found.get(one.name)):
            continue
        figures = {
            "mean_ms": spread([each.mean_ms for each in summaries]),
            "p50_ms": spread([each.p50_ms for each in summaries]),
            "p99_ms": spread([each.p99_ms for each in summaries]),
            **{
                f"p99_ms during {fault}": spread([each.fault_p99_ms[fault] for each in summaries])
                for fault in summaries[0].fault_p99_ms
            },
            "failed_percent": spread([100.0 * each.failed for each in summaries]),
        }
        rounds = [dataclasses.asdict(each) for each in summaries]
        result.append(
            {"name": one.name, "label": one.label, "version": one.version, "figures": figures, "rounds": rounds}
        )
    return sorted(result, key=lambda row: _middle(row["figures"]["p99_ms"]))


def _middle(values: Spread) -> float:
    return values["median"] if values else float("inf")


def _heading(figure: str) -> str:
    what, _, fault = figure.partition(" during ")
    short = {"mean_ms": "mean ms", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "failed_percent": "failed %"}[what]
    return f"{short}, {fault}" if fault else short


def _number(figure: str, value: float) -> str:
    return f"{value:.2f}" if figure == "failed_percent" else _ms(value)


def _cell(figure: str, values: Spread) -> str:
    if values is None:
        return "-"
    middle = _number(figure, values["median"])
    if values["min"] == values["max"]:
        return middle
    return f"{middle}\n[dim]{_number(figure, values['min'])}–{_number(figure, values['max'])}[/dim]"


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """The comparison: the median of each figure, its least and greatest below."""
    shown = Table(title="medians over the rounds, least–greatest; lowest p99 first", title_justify="left")
    shown.add_column("policy or proxy")
    for figure in found[0]["figures"]:
        shown.add_column(_heading(figure), justify="right")
    for row in found:
        cells = (_cell(figure, values) for figure, values in row["figures"].items())
        shown.add_row(row["label"], *cells, style="bold" if row["name"] == OWN else "")
    return shown


def losses(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]] | None:
    """By figure, who had a lower median than learned, the lowest first; None where learned is not among them."""
    own = next((row for row in found if row["name"] == OWN), None)
    if own is None:
        return None
    lost: dict[str, list[str]] = {}
    for figure, values in own["figures"].items():
        better = [row for row in found if _middle(row["figures"][figure]) < _middle(values)]
        better.sort(key=lambda row: _middle(row["figures"][figure]))
        lost[figure] = [row["name"] for row in better]
    return lost


def verdict(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in a line for each figure to whom learned lost it, and by what."""
    lost = losses(found)
    if lost is None:
        return []
    by_name = {row["name"]: row["figures"] for row in found}
    lines = []
    for figure, winners in lost.items():
        own = by_name[OWN][figure]
        if not winners:
            continue
        shown = ", ".join(_won(figure, name, by_name[name][figure], own) for name in winners)
        own_value = _number(figure, own["median"]) if own else "nothing measured"
        lines.append(f"learned lost {_heading(figure)} ({own_value}) to {shown}")
    return lines or ["learned lost no figure to any of the others"]


def _won(figure: str, name: str, values: dict[str, float], own: Spread) -> str:
    overlap = own is not None and values["max"] >= own["min"] and values["min"] != values["max"]
    return f"{name} ({_number(figure, values['median'])}{', within the spread' if overlap else ''})"


def notes(found: Sequence[Mapping[str, Any]], settings: Settings, rounds: int) -> list[str]:
    """What a reader has to know to trust the table."""
    every = [one for row in found for one in row["rounds"]]
    late_ms = max(one["late_p99_ms"] for one in every)
    lines = [
        "Latency counts from each request's scheduled arrival.",
        f"A request that timed out counts with its {settings.timeout_s:g} s; an error counts as failed only.",
        "Read latency beside failures: who sends requests where they fail at once leaves less to serve.",
        "Only smartlb knows request classes. Only nginx_retry asks another server after a 500.",
        f"In the worst run the load generator sent 99 % of the requests at most {late_ms:.1f} ms after their time.",
    ]
    if hashing := [row["name"] for row in found if row["name"] in HASHING]:
        lines.append(f"{' and '.join(hashing)}: one client with three URLs is not what hashing is for.")
    if waited := [row["name"] for row in found if any(one["waited"] for one in row["rounds"])]:
        lines.append(
            f"Requests waited for one of the generator's {settings.connections} connections: {', '.join(waited)}."
        )
    if rounds < FEW_ROUNDS:
        lines.append(
            f"With fewer than {FEW_ROUNDS} rounds nobody knows the spread: this shows that it works, not who wins."
        )
    return lines


def about(found: Sequence[Mapping[str, Any]], settings: Settings, rounds: int) -> dict[str, Any]:
    """What the JSON file says beside the rows."""
    load = workload.generated(settings.total_s, settings.rate, settings.seed)
    return {
        "rounds": rounds,
        "seconds": settings.seconds,
        "warmup_s": settings.warmup_s,
        "rate": settings.rate,
        "load": settings.load,
        "timeout_s": settings.timeout_s,
        "seeds": [settings.seed + at for at in range(rounds)],
        "workload": load.source,
        "fleet": [dataclasses.asdict(server) for server in FLEET],
        "faults": [dataclasses.asdict(fault) for fault in scenario.faults(settings.seconds)],
        "learned_lost_to": losses(found),
    }


def goals(found: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """The learned policy should lose no figure to any other."""
    lost = losses(found) or {}
    return [at_most(f"who is better than learned: {_heading(figure)}", len(by), 0) for figure, by in lost.items()]


def _parse(arguments: Sequence[str] | None) -> Namespace:
    options = Options("live", "Every policy, HAProxy and nginx on real processes.")
    options.rounds(3, "of everyone")
    options.add_argument(
        "--policies", type=several("policy", names), default=tuple(names()), metavar="NAMES",
        help=f"separated by commas (default: {','.join(names())})",
    )  # fmt: skip
    options.seconds(Settings().seconds, "that count of each run", least=4)
    options.seed("of the first round")
    options.add_argument(
        "--logs", type=Path, default=Path("bench-results/live"), help="folder for logs (default: %(default)s)"
    )
    return options.parse_args(arguments)


async def _interruptible(
    taking_part: Sequence[Contender], settings: Settings, rounds: int, say: Say
) -> dict[str, list[Summary]]:
    task = asyncio.current_task()
    assert task is not None
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signal_number, task.cancel)
    return await measure(taking_part, settings, rounds, say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a contender failed, 2 without any, 130 when interrupted."""
    chosen = _parse(arguments)
    console = Console(stderr=True)
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    if sys.platform != "linux":
        say("The benchmark finds and ends the proxies' processes through /proc; it runs on Linux only.")
        return 2
    settings = Settings(seconds=chosen.seconds, seed=chosen.seed, output=chosen.logs)
    taking_part = contenders(chosen.policies, say)
    if not taking_part:
        return 2
    minutes = len(taking_part) * chosen.rounds * (settings.total_s + _RUN_COSTS_S) / 60
    say(f"{len(taking_part)} contenders, {chosen.rounds} rounds: about {minutes:.0f} minutes.")
    try:
        measured = asyncio.run(_interruptible(taking_part, settings, chosen.rounds, say))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("\nstopped; nothing was left running")
        return 128 + signal.SIGINT
    found = rows(taking_part, measured)
    if not found:
        return 1
    shown = results()
    shown.print(table(found))
    for line in [*verdict(found), *notes(found, settings, chosen.rounds)]:
        shown.print(line, markup=False, highlight=False, soft_wrap=True)
    publish(chosen.json, found, goals(found), about(found, settings, chosen.rounds))
    return 0 if len(found) == len(taking_part) else 1


if __name__ == "__main__":
    sys.exit(main())
