"""The proxies that are measured side by side: one file for each, and their registry here."""

from benchmarks.peers import caddy, envoy, haproxy, nginx, smartlb, traefik
from benchmarks.peers.peer import Peer

PEERS: dict[str, Peer] = {module.PEER.name: module.PEER for module in (smartlb, haproxy, nginx, envoy, traefik, caddy)}
"""Proxies by name."""
