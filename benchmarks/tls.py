"""TLS: smartlb beside nginx, HAProxy and Envoy as the end of it, with the same certificate: requests, and handshakes.

Run as ``python -m benchmarks.tls``; docs/benchmarks.md says what is measured and how.
"""

import argparse
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.peers import with_tls
from benchmarks.peers.peer import Peer
from benchmarks.rig import certificate, wrk
from benchmarks.rig.backends import backends
from benchmarks.rig.measuring import Bench, Measurement, measure, rotated, running
from benchmarks.rig.processes import BenchmarkError, prepare_child, process_tree
from benchmarks.rig.report import Result, spread, table
from benchmarks.rig.shapes import SHAPES
from smartlb.cli.arguments import whole_number

_CLIENTS = 4
"""Processes that shake hands, each one after another."""

_REAL_TIME = re.compile(r"^(\d+) connections in (\d+) real seconds", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What one round of handshakes gave.

    Attributes:
        per_s: whole handshakes a second.
        cpu_us: user and system time that each took of the processes that carry traffic.
    """

    per_s: float
    cpu_us: float


def parse_s_time(output: str) -> tuple[int, float]:
    """Read how many connections ``openssl s_time`` made, in how many seconds.

    Raises:
        BenchmarkError: it does not say so.
    """
    found = _REAL_TIME.search(output)
    if found is None or not int(found[1]):
        raise BenchmarkError(f"openssl s_time made no connection; it said: {output.strip()[-400:]}")
    return int(found[1]), float(found[2])


def shake_hands(peer: Peer, program: Sequence[str], bench: Bench) -> Handshakes:
    """Measure one round of a contender.

    Raises:
        BenchmarkError: it does not start, or makes no connection.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchmarkError("openssl is not installed: apt-get install openssl")
    with running(peer, program, bench) as contender:
        before = process_tree(contender.server.pid)
        command = [openssl, "s_time", "-connect", contender.address, "-new", "-time", str(round(bench.seconds))]
        clients = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=prepare_child(bench.load_core),
            )
            for _ in range(_CLIENTS)
        ]
        try:
            said = [client.communicate(timeout=bench.seconds + 20)[0] for client in clients]
        except subprocess.TimeoutExpired:
            raise BenchmarkError("openssl s_time did not end") from None
        finally:
            for client in clients:
                client.kill()
                client.wait()
        worker_s = contender.worker_s(before)
    count = sum(parse_s_time(each)[0] for each in said)
    return Handshakes(count / bench.seconds, worker_s / count * 1e6)


def _report(rows: dict[str, list[Handshakes]]) -> tuple[list[str], list[dict[str, object]]]:
    lines = ["| proxy | handshakes/s | CPU µs/handshake | ÷ nginx |", "|---|---|---|---|"]
    found: list[dict[str, object]] = []
    spreads = {
        name: (spread([one.per_s for one in each]), spread([one.cpu_us for one in each])) for name, each in rows.items()
    }
    for name, (per_s, cpu_us) in spreads.items():
        share = f"{per_s['median'] / spreads['nginx'][0]['median']:.2f}" if "nginx" in spreads else "–"
        lines.append(f"| {name} | {per_s['median']:,.0f} | {cpu_us['median']:,.0f} | {share} |")
        found.append({"name": name, "shape": "handshakes", "handshakes_per_s": per_s, "cpu_us_per_handshake": cpu_us})
    return lines, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls", description=__doc__)
    parser.add_argument("--rounds", type=whole_number(1), default=5, help="of every proxy (default: 5)")
    parser.add_argument("--seconds", type=whole_number(1), default=4, help="of load per proxy and round (default: 4)")
    parser.add_argument("--connections", type=whole_number(1), default=64, help="of the load generator (default: 64)")
    parser.add_argument("--shape", choices=list(SHAPES), default="small", help="of requests (default: small)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    chosen = parser.parse_args(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    shape = replace(SHAPES[chosen.shape], tls=True)
    load_generator = wrk.find()
    if load_generator is None or shape.rate_per_s is not None:
        say(f"wrk is needed, and a shape that is not paced: {wrk.INSTALL}")
        return 2
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, load_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    requests: dict[str, list[Measurement]] = {}
    handshakes: dict[str, list[Handshakes]] = {}
    try:
        with TemporaryDirectory(prefix="smartlb-tls-") as folder, backends(load_core) as addresses:
            cert, key, _ = certificate.issue(Path(folder))
            contenders = with_tls.peers(with_tls.Tls(cert, key))
            programs = {name: program for name, peer in contenders.items() if (program := peer.find()) is not None}
            for name in contenders.keys() - programs.keys():
                say(f"{name} is not installed and left out: {contenders[name].install}")
            bench = Bench(addresses, load_generator, chosen.connections, chosen.seconds, proxy_core, load_core)
            for at in range(chosen.rounds):
                for name in rotated(list(programs), at):
                    say(f"round {at + 1} of {chosen.rounds}: {name}")
                    requests.setdefault(name, []).append(measure(contenders[name], programs[name], shape, bench))
                    handshakes.setdefault(name, []).append(shake_hands(contenders[name], programs[name], bench))
            results = [
                Result(name, contenders[name].version(programs[name]), f"{shape.name}, TLS", found)
                for name, found in requests.items()
            ]
    except BenchmarkError as error:
        say(str(error))
        return 1
    rows = [result.as_json() for result in results]
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    lines, found = _report(handshakes)
    print("\n".join(lines))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps([*rows, *found], indent=2) + "\n")
    say(f"OpenSSL of this Python: {ssl.OPENSSL_VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
