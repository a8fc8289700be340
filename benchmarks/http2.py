"""HTTP/2 from clients: smartlb beside Envoy, nginx and HAProxy, with TLS or without, to backends of HTTP/1.1.

Run as ``python -m benchmarks.http2``; docs/benchmarks.md says what is measured and how.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import envoy, haproxy, nginx, smartlb, with_tls
from benchmarks.peers.peer import Peer, Site, replaced
from benchmarks.rig import certificate
from benchmarks.rig.backends import backends
from benchmarks.rig.measuring import WARM_UP_S, Bench, rotated, running
from benchmarks.rig.processes import BenchmarkError, prepare_child, process_tree
from benchmarks.rig.report import spread
from benchmarks.rig.shapes import SHAPES
from smartlb.cli.arguments import whole_number

_DONE = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_COUNTS = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored")

_STREAMS = 10
"""Requests under way on each connection."""


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


def measure(peer: Peer, program: Sequence[str], h2load: str, bench: Bench, scheme: str) -> Round:
    """Run a contender for one round.

    Args:
        peer: what it is.
        program: where it is.
        h2load: where the load generator is.
        bench: backends and cores.
        scheme: http or https.

    Raises:
        BenchmarkError: it does not start, or a request fails.
    """
    with running(peer, program, bench) as contender:

        def load(seconds: float) -> str:
            at_once = ["-c", str(bench.connections), "-m", str(_STREAMS), "-t", "1"]
            done = subprocess.run(
                [h2load, "-D", str(round(seconds)), *at_once, f"{scheme}://{contender.address}{SHAPES['small'].path}"],
                capture_output=True,
                text=True,
                timeout=seconds + 30,
                preexec_fn=prepare_child(bench.load_core),
                check=False,
            )
            return done.stdout + done.stderr

        load(WARM_UP_S)
        before = process_tree(contender.server.pid)
        per_s, count = parse_h2load(load(bench.seconds))
        return Round(per_s, contender.worker_s(before) / count * 1e6)


def report(rounds: dict[str, list[Round]]) -> tuple[list[str], list[dict[str, object]]]:
    """A table in Markdown, and the rows of the JSON."""
    lines = ["| proxy | requests/s | CPU µs/request | ÷ Envoy |", "|---|---|---|---|"]
    rows: list[dict[str, object]] = []
    rates = {name: spread([each.requests_per_s for each in own]) for name, own in rounds.items()}
    for name, own in rounds.items():
        cpu_us = spread([each.cpu_us for each in own])
        share = f"{rates[name]['median'] / rates['envoy']['median']:.2f}" if "envoy" in rates else "–"
        lines.append(f"| {name} | {rates[name]['median']:,.0f} | {cpu_us['median']:.0f} | {share} |")
        rows.append({"name": name, "requests_per_s": rates[name], "cpu_us_per_request": cpu_us})
    return lines, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http2", description=__doc__)
    parser.add_argument("--rounds", type=whole_number(1), default=5, help="of every proxy (default: 5)")
    parser.add_argument("--seconds", type=whole_number(1), default=4, help="of load per proxy and round (default: 4)")
    parser.add_argument("--connections", type=whole_number(1), default=8, help="of the load generator (default: 8)")
    parser.add_argument("--tls", action="store_true", help="over TLS, where clients choose HTTP/2 by ALPN")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    chosen = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    h2load = shutil.which("h2load")
    if h2load is None:
        say("h2load is needed: apt-get install nghttp2-client")
        return 2
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, load_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    rounds: dict[str, list[Round]] = {}
    try:
        with TemporaryDirectory(prefix="smartlb-http2-") as folder, backends(load_core) as addresses:
            cert, key, _ = certificate.issue(Path(folder))
            peers = with_tls.peers(with_tls.Tls(cert, key, http2=True)) if chosen.tls else WITHOUT_TLS
            scheme = "https" if chosen.tls else "http"
            programs = {name: program for name, peer in peers.items() if (program := peer.find()) is not None}
            for name in peers.keys() - programs.keys():
                say(f"{name} is not installed and left out: {peers[name].install}")
            bench = Bench(addresses, None, chosen.connections, chosen.seconds, proxy_core, load_core)
            for at in range(chosen.rounds):
                for name in rotated(list(programs), at):
                    say(f"round {at + 1} of {chosen.rounds}: {name}")
                    rounds.setdefault(name, []).append(measure(peers[name], programs[name], h2load, bench, scheme))
    except BenchmarkError as error:
        say(str(error))
        return 1
    lines, rows = report(rounds)
    print("\n".join(lines))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
