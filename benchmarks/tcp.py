"""Forwarding of bytes: smartlb's tcp listener beside HAProxy in TCP mode, under a load of HTTP that neither reads.

Run as ``python -m benchmarks.tcp``; docs/benchmarks.md says what is measured and how.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.peers import haproxy, smartlb
from benchmarks.peers.peer import Peer, Site
from benchmarks.rig import command, contest
from benchmarks.rig.goals import Goal, at_least
from benchmarks.rig.report import compared, table
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


def goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """What it should come to."""
    return [at_least("requests/s of haproxy's, over TCP", compared(rows, "requests_per_s", "haproxy"), 0.85)]


def _compare(chosen: Namespace) -> int:
    shape = SHAPES[chosen.shape]
    programs = contest.installed(PEERS, PEERS)
    with contest.bench(chosen.connections, chosen.seconds, [shape]) as bench:
        results = contest.compare(PEERS, programs, shape, chosen.rounds, bench, count=not chosen.no_instructions)
    rows = [result.as_json() for result in results]
    if rows:
        command.results().print(table(rows))
    command.publish(chosen.json, rows, goals(rows))
    return 0 if len(rows) == len(programs) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where a proxy that is installed could not be measured."""
    options = contest.options("tcp", __doc__, connections=64)
    options.add_argument("--shape", choices=list(SHAPES), default="small", help="of requests (default: small)")
    return command.run(partial(_compare, options.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
