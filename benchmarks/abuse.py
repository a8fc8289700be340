"""What abusive clients cost the others: ``python -m benchmarks.abuse [--json OUT]``.

smartlb, and nginx where it is installed, serves a normal client at a steady rate while others send slowly, do not read,
or flood it. Each abuse is measured between two quiet times. docs/benchmarks.md says what the figures are.
"""

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.idle import ALL_MB, PER_CLIENT
from benchmarks.peers import nginx
from benchmarks.rig import paced
from benchmarks.rig.abusers import ABUSES, BUILD_UP_S, IDLE, USUAL_BUILD_UP_S, Tally, abused, allow_connections
from benchmarks.rig.command import Options, publish, run, say
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.load import Load
from benchmarks.rig.memory import Growth, growth, watched
from benchmarks.rig.processes import BenchmarkError, Server, free_address
from benchmarks.rig.reachable import await_listener
from benchmarks.rig.shapes import Shape
from benchmarks.rig.site import Origin, Site, site
from smartlb.cli.arguments import several, whole_number

BODY_BYTES = 100_000_000_000
"""`limits.body_bytes`: bodies that do not end go on for as long as they are measured."""

_NORMAL = Shape("normal", "/health")
_RATE_PER_S = 200.0
_CONNECTIONS = 8
_REST_S = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """Who is attacked.

    Attributes:
        name: of the proxy.
        address: HOST:PORT.
        pid: of its first process.
    """

    name: str
    address: str
    pid: int


@dataclass(frozen=True, slots=True)
class Round:
    """One abuse, once.

    Attributes:
        quiet: the normal client without it, before and after.
        under: the normal client with it; None where it got no answer.
        tally: what the abuse came to.
        memory: of the proxy's processes, by role and of all.
    """

    quiet: tuple[Load, Load]
    under: Load | None
    tally: Tally
    memory: dict[str, Growth]


def _normal(address: str, seconds: float) -> Load:
    return paced.drive(address, _NORMAL, _RATE_PER_S, seconds, _CONNECTIONS)


def one(target: Target, abuse: str, seconds: float) -> Round:
    """Measure an abuse between two quiet times.

    Raises:
        BenchmarkError: the abuse could not be tried, or the proxy serves nobody without it.
    """
    address = target.address
    before = _normal(address, seconds)
    build_up_s = BUILD_UP_S.get(abuse, USUAL_BUILD_UP_S)
    with watched(target.pid) as samples, abused(abuse, address, build_up_s + seconds + 1) as abuser:
        time.sleep(build_up_s)
        under: Load | None = None
        try:
            under = _normal(address, seconds)
        except (BenchmarkError, OSError):
            under = None
        tally = abuser.tally()
    time.sleep(_REST_S)
    after = _normal(address, seconds)
    return Round((before, after), under, tally, growth(samples))


def row(proxy: str, abuse: str, rounds: Sequence[Round]) -> dict[str, Any]:
    """The rounds of an abuse as one object, with medians; a client that was never answered has None."""
    quiet = [load for each in rounds for load in each.quiet]
    under = [each.under for each in rounds if each.under is not None]
    found: dict[str, Any] = {"abuse": abuse, "proxy": proxy, "rounds": len(rounds)}
    for figure in ("p50_ms", "p99_ms"):
        without = median(getattr(load, figure) for load in quiet)
        with_it = median(getattr(load, figure) for load in under) if under else None
        found[f"quiet_{figure}"] = round(without, 2)
        found[f"under_{figure}"] = None if with_it is None else round(with_it, 2)
        found[f"{figure.removesuffix('_ms')}_ratio"] = None if with_it is None else round(with_it / without, 2)
    found["unanswered"] = len(rounds) - len(under)
    found["errors"] = sum(load.errors for load in under)
    found["quiet_errors"] = sum(load.errors for load in quiet)
    for role, name in (("all", "memory"), ("worker", "workers_memory")):
        found[f"{name}_before_mb"] = round(median(each.memory[role].start_mb for each in rounds), 1)
        found[f"{name}_peak_mb"] = round(max(each.memory[role].peak_mb for each in rounds), 1)
    for figure in ("opened", "held", "refused", "sent_mb"):
        found[figure] = round(median(getattr(each.tally, figure) for each in rounds))
    return found


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as a table of Markdown."""
    headings = (
        "abuse", "proxy", "held", "refused", "normal p50, ms: without", "with", "p99, ms: without", "with",
        "ratio of p99", "errors", "memory, MB: before", "at most", "the workers': before", "at most",
    )  # fmt: skip
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for each in rows:
        figures = (
            "held", "refused", "quiet_p50_ms", "under_p50_ms", "quiet_p99_ms", "under_p99_ms", "p99_ratio", "errors",
            "memory_before_mb", "memory_peak_mb", "workers_memory_before_mb", "workers_memory_peak_mb",
        )  # fmt: skip
        cells = ("–" if each[figure] is None else f"{each[figure]:,}" for figure in figures)
        lines.append(f"| {each['abuse'].replace('_', ' ')} | {each['proxy']} | {' | '.join(cells)} |")
    return lines


def goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """What each abuse should leave to the normal client, and what the idle ones should take."""
    found = []
    for each in rows:
        if each["proxy"] == "smartlb":
            lost = each["errors"] + each["unanswered"]
            found.append(at_most(f"the normal client's errors under {each['abuse']}", lost, 0))
            if each["abuse"] == "idle":
                found.append(at_most("all processes with idle connections, MB", each["memory_peak_mb"], ALL_MB))
    return found


def measure(
    on: Site, others: Sequence[Target], abuses: Sequence[str], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """All rounds, interleaved; returns the rows."""
    asyncio.run(on.learned())
    for origin in on.origins:
        if origin is not on.calm:
            origin.lower_priority()
    targets = [Target("smartlb", on.router.plain, on.router.pid), *others]
    for target in targets:
        _normal(target.address, 1.0)
    found: dict[tuple[str, str], list[Round]] = {(abuse, each.name): [] for abuse in abuses for each in targets}
    for at in range(rounds):
        for abuse in abuses:
            for target in targets:
                say(f"round {at + 1} of {rounds}: {abuse}, {target.name}")
                found[abuse, target.name].append(one(target, abuse, seconds))
    return [row(proxy, abuse, each) for (abuse, proxy), each in found.items()]


@contextmanager
def _nginx(on: Site) -> Iterator[list[Target]]:
    """nginx in front of the same backends, with two workers too; nothing where it is not installed."""
    program = nginx.PEER.find()
    if program is None or on.calm is None:
        yield []
        return
    with TemporaryDirectory(prefix="smartlb-nginx-") as name:
        folder, address = Path(name), free_address()
        config = _nginx_config(folder, address, on.calm, [each for each in on.origins if each is not on.calm])
        (folder / "nginx.conf").write_text(config)
        with Server([*program, *nginx.arguments(folder)], folder, None) as server:
            await_listener(server, partial(str, address))
            yield [Target("nginx", address, server.pid)]


def _nginx_config(folder: Path, address: str, calm: Origin, others: Sequence[Origin]) -> str:
    servers = " ".join(f"server {origin.address};" for origin in others)
    # Bodies are passed on as they come, as smartlb does.
    return f"""\
{nginx.main_section(folder, 2, 10_000)}\
worker_rlimit_nofile 20000;
http {{
  access_log {folder}/access.log;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_header_timeout 10s;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
{nginx.temporary_paths(folder)}
  upstream web {{ least_conn; {servers} keepalive 64; }}
  upstream calm {{ server {calm.address}; keepalive 64; }}
  server {{
    listen {address} reuseport backlog=4096;
    location / {{ proxy_pass http://web; }}
    location /health {{ proxy_pass http://calm; }}
  }}
}}
"""


def _abuse(chosen: Namespace) -> int:
    if "idle" in chosen.only:
        allow_connections(IDLE)
    longest_s = 60 + 2 * chosen.rounds * len(chosen.only) * (3 * chosen.seconds + 40)
    limits = {"connections_per_client": PER_CLIENT, "body_bytes": BODY_BYTES}
    with site(longest_s, backends=2, workers=chosen.workers, calm=True, limits=limits) as on, _nginx(on) as others:
        rows = measure(on, others, chosen.only, chosen.rounds, chosen.seconds)
    print("\n".join(table(rows)))
    publish(chosen.json, rows, goals(rows))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = Options("abuse", "Abusive clients, and the others.")
    options.add_argument("--workers", type=whole_number(1), default=2, help="of the router (default: %(default)d)")
    options.rounds(2, "of every abuse")
    options.seconds(3, "of normal load each time", most=60)
    options.add_argument(
        "--only", type=several("abuse", lambda: list(ABUSES)), default=tuple(ABUSES), metavar="NAMES",
        help=f"separated by commas (default: {','.join(ABUSES)})",
    )  # fmt: skip
    return run(partial(_abuse, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
