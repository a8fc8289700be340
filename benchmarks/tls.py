"""TLS: smartlb beside nginx, HAProxy and Envoy as the end of it, with the same certificate: requests, and handshakes.

Run as ``python -m benchmarks.tls``; docs/benchmarks.md says what is measured and how.
"""

import re
import shutil
import ssl
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers import with_tls
from benchmarks.peers.peer import Peer
from benchmarks.rig import certificate, command, contest
from benchmarks.rig.goals import Goal, at_least
from benchmarks.rig.measuring import Bench, running
from benchmarks.rig.processes import BenchmarkError, prepare_child, process_tree
from benchmarks.rig.report import compared, spread, table
from benchmarks.rig.shapes import SHAPES

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


def handshake_rows(found: Mapping[str, Sequence[Handshakes]]) -> list[dict[str, Any]]:
    """The rounds of handshakes as objects of the JSON report."""
    return [
        {
            "name": name,
            "shape": "handshakes",
            "handshakes_per_s": spread([one.per_s for one in each]),
            "cpu_us_per_handshake": spread([one.cpu_us for one in each]),
        }
        for name, each in found.items()
    ]


def handshake_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same in Markdown."""
    nginx = next((row["handshakes_per_s"]["median"] for row in rows if row["name"] == "nginx"), None)
    lines = ["| proxy | handshakes/s | CPU µs/handshake | ÷ nginx |", "|---|---|---|---|"]
    for row in rows:
        per_s, cpu_us = row["handshakes_per_s"]["median"], row["cpu_us_per_handshake"]["median"]
        share = f"{per_s / nginx:.2f}" if nginx else "–"
        lines.append(f"| {row['name']} | {per_s:,.0f} | {cpu_us:,.0f} | {share} |")
    return lines


def goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """What requests over kept connections should come to."""
    return [at_least("requests/s of nginx's, over TLS", compared(rows, "requests_per_s", "nginx"), 0.9)]


def _compare(chosen: Namespace) -> int:
    shape = SHAPES[chosen.shape]
    shape = replace(shape, name=f"{shape.name}, TLS", tls=True)
    with TemporaryDirectory(prefix="smartlb-tls-") as folder:
        cert, key, _ = certificate.issue(Path(folder))
        peers = with_tls.peers(with_tls.Tls(cert, key))
        programs = contest.installed(peers, peers)
        with contest.bench(chosen.connections, chosen.seconds, [shape]) as bench:
            results = contest.compare(peers, programs, shape, chosen.rounds, bench, count=not chosen.no_instructions)
            through = [result.name for result in results]
            shaken = contest.interleaved(
                through, chosen.rounds, lambda name: shake_hands(peers[name], programs[name], bench), "handshakes"
            )
    rows = [result.as_json() for result in results]
    if rows:
        command.results().print(table(rows))
    handshakes = handshake_rows(shaken)
    print("\n".join(handshake_table(handshakes)))
    command.publish(chosen.json, [*rows, *handshakes], goals(rows), {"openssl": ssl.OPENSSL_VERSION})
    return 0 if len(handshakes) == len(programs) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy that is installed could not be measured."""
    options = contest.options("tls", __doc__, connections=64)
    unpaced = [name for name, shape in SHAPES.items() if shape.rate_per_s is None]
    options.add_argument("--shape", choices=unpaced, default="small", help="of requests (default: small)")
    return command.run(partial(_compare, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
