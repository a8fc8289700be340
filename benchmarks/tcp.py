"""Forwarding of bytes: smartlb's tcp listener beside HAProxy in TCP mode, under a load of HTTP that neither reads.

Run as ``python -m benchmarks.tcp``; docs/benchmarks.md says what is measured and how.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.peers import haproxy, smartlb
from benchmarks.peers.peer import Peer, Site
from benchmarks.rig import wrk
from benchmarks.rig.backends import backends
from benchmarks.rig.measuring import Bench, Measurement, measure, rotated
from benchmarks.rig.processes import BenchmarkError
from benchmarks.rig.report import Result, table
from benchmarks.rig.shapes import SHAPES


def _haproxy_config(site: Site) -> str:
    servers = "\n".join(f"  server s{number} {backend}" for number, backend in enumerate(site.backends))
    return f"""\
global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend clients
  bind {site.address}
  default_backend servers
backend servers
  balance leastconn
{servers}
"""


def _smartlb_config(site: Site) -> str:
    config = json.loads(smartlb.config(site))
    config["listeners"] = [{"bind": "127.0.0.1:0", "protocol": "tcp", "pool": "backends"}]
    return json.dumps(config, indent=2)


PEERS: dict[str, Peer] = {
    "haproxy": replace(haproxy.PEER, files=lambda site: {"haproxy.cfg": _haproxy_config(site)}),
    "smartlb": replace(smartlb.PEER, files=lambda site: {"smartlb.yaml": _smartlb_config(site)}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tcp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of every proxy (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="of load per proxy and round (default: 4)")
    parser.add_argument("--connections", type=int, default=64, help="of the load generator (default: 64)")
    parser.add_argument("--shape", choices=list(SHAPES), default="small", help="of requests (default: small)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    programs = {name: program for name, peer in PEERS.items() if (program := peer.find()) is not None}
    for name in PEERS.keys() - programs.keys():
        console.print(f"{name} is not installed and left out: {PEERS[name].install}", markup=False)
    shape = SHAPES[chosen.shape]
    load_generator = wrk.find()
    if load_generator is None and shape.rate_per_s is None:
        console.print(f"wrk is not installed and only the shape paced can do without: {wrk.INSTALL}")
        return 2
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, load_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    rounds: dict[str, list[Measurement]] = {name: [] for name in programs}
    try:
        with backends(load_core) as addresses:
            bench = Bench(addresses, load_generator, chosen.connections, chosen.seconds, proxy_core, load_core)
            for number in range(chosen.rounds):
                for name in rotated(list(programs), number):
                    rounds[name].append(measure(PEERS[name], programs[name], shape, bench))
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    results = [Result(name, PEERS[name].version(programs[name]), shape.name, found) for name, found in rounds.items()]
    rows = [result.as_json() for result in results]
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
