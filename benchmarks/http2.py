"""HTTP/2 from clients: smartlb beside Envoy, nginx and HAProxy, with TLS or without, to backends of HTTP/1.1.

Run as ``python -m benchmarks.http2``; docs/benchmarks.md says what is measured and how.
"""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers import envoy, haproxy, nginx, smartlb, with_tls
from benchmarks.peers.peer import Peer, Site, replaced
from benchmarks.rig import certificate, command, contest
from benchmarks.rig.goals import Goal, at_least
from benchmarks.rig.measuring import WARM_UP_S, Bench, count_instructions, running
from benchmarks.rig.processes import BenchmarkError, prepare_child, process_tree
from benchmarks.rig.report import compared, spread
from benchmarks.rig.shapes import SHAPES

_DONE = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_COUNTS = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored")

_STREAMS = 10
"""Requests under way on each connection."""

_COUNTED = 1_000
"""Requests sent while instructions are counted."""


def _nginx_config(site: Site) -> dict[str, str]:
    # Up to nginx 1.25 a listener without TLS speaks HTTP/2 only, once told to.
    return {"nginx.conf": replaced(nginx.config(site), f"listen {site.address} ", f"listen {site.address} http2 ")}


def _haproxy_config(site: Site) -> dict[str, str]:
    return {"haproxy.cfg": replaced(haproxy.config(site), f"bind {site.address}", f"bind {site.address} proto h2")}


# Envoy and smartlb see by its first bytes what a connection speaks.
WITHOUT_TLS: dict[str, Peer] = {
    "envoy": envoy.PEER,
    "nginx": replace(nginx.PEER, files=_nginx_config),
    "haproxy": replace(haproxy.PEER, files=_haproxy_config),
    "smartlb": smartlb.PEER,
}


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave.

    Attributes:
        requests_per_s: answered.
        cpu_us: user and system time that each took of the processes that carry traffic.
    """

    requests_per_s: float
    cpu_us: float


def parse_h2load(output: str) -> tuple[float, int]:
    """Read requests per second, and how many were answered, from what h2load says.

    Raises:
        BenchmarkError: it does not say so, or some failed.
    """
    rate, counts = _DONE.search(output), _COUNTS.search(output)
    if rate is None or counts is None or not int(counts[2]):
        raise BenchmarkError(f"h2load made no request; it said: {output.strip()[-400:]}")
    if int(counts[3]) or int(counts[4]):
        raise BenchmarkError(f"{counts[3]} requests failed and {counts[4]} broke off")
    return float(rate[1]), int(counts[2])


class Load:
    """What h2load sends.

    Args:
        program: where it is.
        scheme: http or https.
        bench: connections and cores.
    """

    def __init__(self, program: str, scheme: str, bench: Bench) -> None:
        self._command = [program, "-c", str(bench.connections), "-m", str(_STREAMS), "-t", "1"]
        self._scheme = scheme
        self._core = bench.load_core

    def lasting(self, address: str, seconds: float) -> tuple[float, int]:
        """As many requests as go in so many seconds; returns how many in a second, and in all."""
        return self._run(address, ["-D", str(round(seconds))], seconds + 30)

    def counted(self, address: str) -> int:
        """A fixed number of requests."""
        return self._run(address, ["-n", str(_COUNTED)], 120)[1]

    def _run(self, address: str, how_much: Sequence[str], within_s: float) -> tuple[float, int]:
        url = f"{self._scheme}://{address}{SHAPES['small'].path}"
        try:
            done = subprocess.run(
                [*self._command, *how_much, url],
                capture_output=True,
                text=True,
                timeout=within_s,
                preexec_fn=prepare_child(self._core),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"h2load did not end within {within_s:g} s") from None
        return parse_h2load(done.stdout + done.stderr)


def measure(peer: Peer, program: Sequence[str], load: Load, bench: Bench) -> Round:
    """Run a contender for one round.

    Raises:
        BenchmarkError: it does not start, or a request fails.
    """
    with running(peer, program, bench) as contender:
        load.lasting(contender.address, WARM_UP_S)
        before = process_tree(contender.server.pid)
        per_s, count = load.lasting(contender.address, bench.seconds)
        return Round(per_s, contender.worker_s(before) / count * 1e6)


def report(
    rounds: Mapping[str, Sequence[Round]], instructions: Mapping[str, float | None]
) -> tuple[list[str], list[dict[str, Any]]]:
    """A table in Markdown, and the rows of the JSON."""
    lines = ["| proxy | requests/s | CPU µs/request | instructions | ÷ Envoy |", "|---|---|---|---|---|"]
    rows: list[dict[str, Any]] = []
    rates = {name: spread([each.requests_per_s for each in own]) for name, own in rounds.items()}
    for name, own in rounds.items():
        cpu_us, count = spread([each.cpu_us for each in own]), instructions.get(name)
        share = f"{rates[name]['median'] / rates['envoy']['median']:.2f}" if "envoy" in rates else "–"
        counted = "–" if count is None else f"{count:,.0f}"
        lines.append(f"| {name} | {rates[name]['median']:,.0f} | {cpu_us['median']:.0f} | {counted} | {share} |")
        row = {"name": name, "requests_per_s": rates[name], "cpu_us_per_request": cpu_us}
        rows.append({**row, "instructions_per_request": count})
    return lines, rows


def goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """What it should come to."""
    bounds = {"envoy": 1.5, "nginx": 1.0, "haproxy": 0.5}
    return [
        at_least(f"requests/s of {other}'s, over HTTP/2", compared(rows, "requests_per_s", other), bound)
        for other, bound in bounds.items()
    ]


def _compare(chosen: Namespace) -> int:
    h2load = shutil.which("h2load")
    if h2load is None:
        raise BenchmarkError("h2load is needed: apt-get install nghttp2-client")
    with TemporaryDirectory(prefix="smartlb-http2-") as folder:
        cert, key, _ = certificate.issue(Path(folder))
        peers = with_tls.peers(with_tls.Tls(cert, key, http2=True)) if chosen.tls else WITHOUT_TLS
        programs = contest.installed(peers, peers)
        counted: dict[str, float | None] = {}
        with contest.bench(chosen.connections, chosen.seconds, []) as bench:
            load = Load(h2load, "https" if chosen.tls else "http", bench)
            rounds = contest.interleaved(
                programs, chosen.rounds, lambda name: measure(peers[name], programs[name], load, bench), "HTTP/2"
            )
            for name in () if chosen.no_instructions else rounds:
                command.say(f"HTTP/2, instructions: {name}")
                counted[name] = count_instructions(peers[name], programs[name], bench, load.counted)
    lines, rows = report(rounds, counted)
    print("\n".join(lines))
    command.publish(chosen.json, rows, goals(rows), {"tls": chosen.tls})
    return 0 if len(rows) == len(programs) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy that is installed could not be measured."""
    options = contest.options("http2", __doc__, connections=8)
    options.add_argument("--tls", action="store_true", help="over TLS, where clients choose HTTP/2 by ALPN")
    return command.run(partial(_compare, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
